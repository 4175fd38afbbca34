"""From packed weights in a checkpoint to packed weights in a model, through the family's table of weights.

A unit is one application of a rule of that table to weights that are packed on disk, in memory, or on both sides:
a rename, three projections that the files hold as one, hundreds of experts that memory holds as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from hf_modeling.weights.errors import ShapeMismatchError
from hf_modeling.weights.match import Patterns
from hf_modeling.weights.ops import Same
from hf_modeling.weights.plan import SAME_NAMES, Step, plan_load, plan_save
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import DISK_SUFFIXES, Drop, Rule, WeightTable, drop
from hf_quant.codec import Codec, Shape
from hf_quant.move import Regroup, logical, plan_regroup
from hf_quant.stored import PackedWeight, part_name

Shapes = Mapping[str, Shape]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Packed weights `disk` that become packed weights `memory` (names as plain weights, with a head's prefix).

    found: the disk names as the checkpoint at hand spells them.
    """

    found: tuple[str, ...] = ()
    disk: tuple[str, ...]
    memory: tuple[str, ...]
    regroup: Regroup

    @property
    def codec(self) -> Codec:
        """How all of them are packed."""
        return self.regroup.codec

    def rules(self) -> tuple[Rule, ...]:
        """What loads and saves the parts: renames where nothing else is to be done, else one rule for all."""
        by_name = {part.name: part for part in self.codec.parts}
        disk = [part_name(by_name[name], w) for w in self.disk for name in self.regroup.names]
        memory = [memory_name(w, name) for w in self.memory for name in self.regroup.names]
        if self.regroup.is_identity:
            return tuple(Rule((d,), (m,), as_stored=True) for d, m in zip(disk, memory, strict=True))
        return (Rule(tuple(disk), tuple(memory), self.regroup, as_stored=True),)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """Packed weights that become plain ones, and why."""

    weights: Mapping[str, PackedWeight]
    transposed: bool
    memory: tuple[str, ...]
    reason: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PackedPlan:
    """What becomes of a checkpoint's packed weights."""

    units: tuple[Unit, ...]
    unpacked: tuple[Unpacked, ...]
    dropped: tuple[Drop, ...]


def memory_name(weight: str, part: str) -> str:
    """What a part is called in memory: beside the weight of a layer, under a parameter of its own."""
    return f"{weight.removesuffix('.weight')}.{part}"


def plan_packed(
    found: Mapping[str, PackedWeight],
    source: Source,
    table: WeightTable,
    wanted: Shapes,
    holders: Mapping[str, str],
    ties: Mapping[str, str],
    *,
    where: str,
) -> PackedPlan:
    """Units for all packed weights that can stay packed.

    wanted: the shapes of the model's plain weights; holders: why a weight cannot be packed where it is in the
    model, empty if it can. Raises ShapeMismatchError.
    """
    straight = replace(table, rules=tuple(_straight(rule) for rule in table.rules))
    shapes = {name: weight.shape for name, weight in found.items()}
    plan = plan_load(straight, shapes, wanted, ties=ties, skip=lambda name: False, where=where)
    if plan.mismatched:
        raise ShapeMismatchError(plan.mismatched, where=where)
    spelling = Spelling(table, found)
    units: list[Unit] = []
    unpacked: list[Unpacked] = []
    for step in (*plan.steps, *plan.repeats):
        weights = {name: found[name] for name in step.inputs}
        unit = _unit(step, weights, source, holders, spelling)
        if isinstance(unit, str):
            unpacked.append(
                Unpacked(
                    weights=weights,
                    transposed=spelling.is_transposed(step),
                    memory=step.outputs,
                    reason=unit,
                )
            )
        else:
            units.append(unit)
    joined = [found[name] for name in plan.unexpected]
    if joined:
        unpacked += _joined_with_plain(joined, source, table, wanted, ties, where)
    dropped = tuple(
        drop(*weight.tensors.values(), why=plan.dropped[name])
        for name, weight in found.items()
        if name in plan.dropped
    )
    return PackedPlan(units=tuple(units), unpacked=tuple(unpacked), dropped=dropped)


def expected_shapes(table: WeightTable, wanted: Shapes) -> dict[str, Shape]:
    """The shapes of the model's weights, as linear layers use them, by name in memory and on disk.

    Names on disk are in full and as a bare base model has them.
    """
    straight = replace(table, rules=tuple(_straight(rule) for rule in table.rules))
    shapes: dict[str, Shape] = {**wanted}
    for step in plan_save(straight, wanted):
        outlines = [torch.empty(wanted[name], dtype=torch.uint8, device="meta") for name in step.inputs]
        for name, made in step.save(outlines).items():
            shapes[name] = shapes[name.removeprefix(table.prefix)] = tuple(made.shape)
    return shapes


def _straight(rule: Rule | Drop) -> Rule | Drop:
    return rule if isinstance(rule, Drop) else replace(rule, op=logical(rule.op))


def _unit(
    step: Step,
    weights: Mapping[str, PackedWeight],
    source: Source,
    holders: Mapping[str, str],
    spelling: Spelling,
) -> Unit | str:
    """The step for packed weights, or why it needs plain ones."""
    for name in step.outputs:
        if holders[name]:
            return holders[name]
    packed = list(weights.values())
    first = packed[0]
    if any(w.codec != first.codec or w.tensors.keys() != first.tensors.keys() for w in packed):
        return "joined in memory from weights that are packed in several ways"
    readers = [(lambda part, tensors=w.tensors: source.read(tensors[part])) for w in packed]
    regroup = plan_regroup(
        first.codec,
        step.rule.op,
        tuple(w.shape for w in packed),
        readers,
        tuple(first.tensors),
    )
    if regroup is None:
        return "the model lays this weight out in a way that the packing does not allow"
    return Unit(found=step.inputs, disk=spelling.of(step), memory=step.outputs, regroup=regroup)


def _joined_with_plain(
    joined: Sequence[PackedWeight],
    source: Source,
    table: WeightTable,
    wanted: Shapes,
    ties: Mapping[str, str],
    where: str,
) -> list[Unpacked]:
    """Weights that find a place only together with plain ones; without one they are left to the loader's checks."""
    names = {weight.weight: weight for weight in joined}
    shapes = {**source.shapes, **{name: weight.shape for name, weight in names.items()}}
    plan = plan_load(table, shapes, wanted, ties=ties, skip=lambda name: False, where=where)
    placed = {name: step for step in plan.steps for name in step.inputs}
    return [
        Unpacked(
            weights={name: weight},
            transposed=False,
            memory=placed[name].outputs,
            reason="joined in memory with weights that are not packed",
        )
        for name, weight in names.items()
        if name in placed
    ]


@final
class Spelling:
    """Names of weights as the table's rules spell them: in full, whatever the checkpoint's `names` leave out."""

    def __init__(self, table: WeightTable, names: Iterable[str]) -> None:
        bare = not any(name.startswith(table.prefix) for name in names)
        self._absent = table.prefix if bare else ""
        self._transposed = {
            (r.disk, r.memory, r.layers)
            for r in table.rules
            if isinstance(r, Rule) and logical(r.op) is not r.op
        }

    def is_transposed(self, step: Step) -> bool:
        """Whether the family's plain files hold the transpose of what a linear layer uses."""
        return (step.rule.disk, step.rule.memory, step.rule.layers) in self._transposed

    def of(self, step: Step) -> tuple[str, ...]:
        """The step's names on disk, in full."""
        if step.rule == SAME_NAMES:
            return step.outputs
        patterns = Patterns((step.rule.disk,), DISK_SUFFIXES)
        full = tuple(self._absent + name for name in step.inputs)
        return tuple(
            long if patterns.match(long) else name for long, name in zip(full, step.inputs, strict=True)
        )


def identity(codec: Codec, shape: Shape, names: tuple[str, ...]) -> Regroup:
    """Nothing to be done to a packed weight."""
    made = plan_regroup(codec, Same(), (shape,), (), names)
    assert made is not None, "what stays the same needs no rows"
    return made
