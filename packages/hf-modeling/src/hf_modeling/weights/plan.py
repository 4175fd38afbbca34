"""From names and shapes to steps: which tensors go into which op, and what comes out. Reads no bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from hf_modeling.weights.errors import AmbiguousWeightsError, Mismatch
from hf_modeling.weights.match import Binding, Match, Patterns
from hf_modeling.weights.ops import Same
from hf_modeling.weights.table import DISK_SUFFIXES, MEMORY_PREFIX, Drop, Rule, WeightTable, rule

Shapes = Mapping[str, tuple[int, ...]]

SAME_NAMES = rule("{rest}", "{rest}")
"""What holds where no rule of a table does: a name is the same on both sides."""

OTHER_HEAD = "a head that this model does not have"
LEFT_OUT = "left out by the caller"

HEADS = frozenset(
    {
        "classification_head",
        "decoder",
        "detector",
        "detector_transform",
        "head_transform",
        "lm_head",
        "lm_transform",
        "logits_bias",
        "pooler",
        "qa_outputs",
        "score",
        "seq_relationship",
        "table_head",
    }
)
"""First segments, with the base model's own taken off, of parts that one task has and another lacks."""


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One application of a rule: the names of what its op reads and of what it makes, in the op's order."""

    rule: Rule
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def load(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Memory names and tensors from the disk tensors `inputs`."""
        return dict(zip(self.outputs, self.rule.op.forward(tensors), strict=True))

    def save(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Disk names and tensors from the memory tensors `inputs`."""
        return dict(zip(self.outputs, self.rule.op.inverse(tensors), strict=True))


@final
@dataclass(kw_only=True)
class LoadPlan:
    """What loading will do, and everything that stands in its way.

    `repeats` are steps that give a tied weight a second time; `missing` maps a memory name to the disk names
    it would have come from.
    """

    steps: list[Step] = field(default_factory=list)
    repeats: list[Step] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mismatched: list[Mismatch] = field(default_factory=list)


def plan_load(
    table: WeightTable,
    disk: Shapes,
    wanted: Shapes,
    *,
    ties: Mapping[str, str],
    skip: Callable[[str], bool],
    where: str,
) -> LoadPlan:
    """The steps that turn the tensors on `disk` into the `wanted` ones (names as in a headed model).

    `ties` maps names to the name whose weight they share; `skip` says which disk tensors the caller gives up.
    Raises AmbiguousWeightsError; every other trouble is in the plan.
    """
    planner = _Planner(table, disk, wanted)
    for name in disk:
        planner.claim(name)
    planner.settle(skip, where)
    planner.settle_ties(ties)
    return planner.plan


def plan_save(table: WeightTable, memory: Shapes) -> list[Step]:
    """The steps that turn the tensors in `memory` (names as in a headed model) into those on disk."""
    rules = [r for r in table.rules if isinstance(r, Rule)]
    patterns = Patterns(r.memory for r in rules)
    groups: dict[tuple[str, ...], _Group] = {}
    for name in memory:
        for match in patterns.match(name):
            group = _Group(rules[match.rule], match.binding)
            if _applies(group.rule, match) and all(n in memory for n in group.spelled(group.rule.memory)):
                groups.setdefault(group.spelled(group.rule.disk), group).add(match, name)
                break
        else:
            groups[(name,)] = _Group.same(name)
    steps: list[Step] = []
    for group in groups.values():
        inputs = group.names()
        results = group.rule.op.inverse(_outlines(inputs, memory)) if group.rule.gathered else group.rule.disk
        steps.append(Step(group.rule, inputs, group.spelled(group.rule.disk, len(results))))
    return steps


@final
@dataclass(slots=True)
class _Group:
    """The names that one rule claims under one binding: by pattern, then by number where gathered."""

    rule: Rule
    binding: Binding
    found: dict[int, dict[int, str]] = field(default_factory=dict)

    @classmethod
    def same(cls, name: str, spelling: str | None = None) -> _Group:
        """`name` under the rule that it is the same on both sides, once spelled in full."""
        return cls(SAME_NAMES, {"rest": spelling or name}, {0: {0: name}})

    def add(self, match: Match, name: str) -> bool:
        """Take `name` in; False if its place is taken."""
        number = int(match.binding.get(self.rule.gathered or "", "0"))
        return self.found.setdefault(match.slot, {}).setdefault(number, name) == name

    def names(self) -> tuple[str, ...]:
        return tuple(name for _, numbers in sorted(self.found.items()) for _, name in sorted(numbers.items()))

    def spelled(self, patterns: tuple[str, ...], count: int = 1) -> tuple[str, ...]:
        """`count` names in an op's order: pattern by pattern and, where they are gathered, number by number."""
        hole = self.rule.gathered
        if hole is None or f"{{{hole}}}" not in patterns[0]:
            return tuple([pattern.format_map(self.binding) for pattern in patterns])
        numbers = range(max(count // len(patterns), 1))
        return tuple([p.format_map({**self.binding, hole: n}) for p in patterns for n in numbers])

    def lost(self, prefix: str) -> tuple[str, ...]:
        """Disk names that the found ones imply: the rest of a fused set, or gaps in the numbering."""
        if self.rule.gathered is None and len(self.found) == len(self.rule.disk):
            return ()
        count = 1 + max(number for numbers in self.found.values() for number in numbers)
        implied = self.spelled(self.rule.disk, count * len(self.rule.disk))
        names = self.names()
        if len(names) == len(implied):
            return ()
        return tuple(short for name in implied if (short := name.removeprefix(prefix)) not in names)


@final
class _Planner:
    """Builds a LoadPlan: every name is claimed, then every claim is checked."""

    def __init__(self, table: WeightTable, disk: Shapes, wanted: Shapes) -> None:
        self.plan = LoadPlan()
        self._table, self._disk, self._wanted = table, disk, wanted
        self._patterns = Patterns((r.disk for r in table.rules), DISK_SUFFIXES)
        bare = not any(name.startswith(table.prefix) for name in disk)
        self._absent = table.prefix if bare else ""
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._given: dict[str, Step] = {}

    def claim(self, name: str) -> None:
        """Give `name` to the first rule that fits it and leads to weights the model has."""
        other_head = False
        for spelling in (self._absent + name, name) if self._absent else (name,):
            for match in self._patterns.match(spelling):
                rule = self._table.rules[match.rule]
                if not _applies(rule, match):
                    continue
                if isinstance(rule, Drop):
                    self.plan.dropped[name] = rule.why
                    return
                group = _Group(rule, match.binding)
                targets = group.spelled(rule.memory)
                if all(target in self._wanted for target in targets):
                    # Rules may lead to the same weights; each keeps a group of its own.
                    if self._groups.setdefault((rule.disk[0], *targets), group).add(match, name):
                        return
                    break  # another spelling of a name that is there already
                other_head = other_head or _is_other_head(targets, self._wanted)
            if spelling in self._wanted:
                self._groups[("", name)] = _Group.same(name, spelling)
                return
            other_head = other_head or _is_other_head((spelling,), self._wanted)
        if other_head:
            self.plan.dropped[name] = OTHER_HEAD
        else:
            self.plan.unexpected.append(name)

    def settle(self, skip: Callable[[str], bool], where: str) -> None:
        """Turn claims into steps whose results have the right shapes, or record why they cannot be."""
        plan, given = self.plan, self._given
        for group in self._groups.values():
            rule, inputs = group.rule, group.names()
            if lost := group.lost(self._absent):
                plan.missing.update(dict.fromkeys(group.spelled(rule.memory), lost))
                plan.unexpected += inputs
                continue
            shapes = self._result_shapes(group, inputs)
            step = Step(rule, inputs, group.spelled(rule.memory, len(shapes)))
            if taken := [name for name in step.outputs if name in given]:
                if not all(map(skip, inputs)):
                    raise AmbiguousWeightsError(taken[0], given[taken[0]].inputs, inputs, where=where)
                plan.dropped.update(dict.fromkeys(inputs, LEFT_OUT))
                continue
            plan.steps.append(step)
            for name, shape in zip(step.outputs, shapes, strict=False):
                given[name] = step
                if shape != (needed := self._wanted.get(name, shape)):
                    plan.mismatched.append(Mismatch(name=name, disk=inputs, found=shape, needed=needed))

    def settle_ties(self, ties: Mapping[str, str]) -> None:
        """Keep one step per shared weight, its owner's if there is one; then see what is still missing."""
        kept: set[str] = set()
        for name, owner in ties.items():
            if name in self._given:
                if owner in self._given or owner in kept:
                    self.plan.steps.remove(self._given[name])
                    self.plan.repeats.append(self._given[name])
                kept.add(owner)
        settled = {*self._given, *kept, *self.plan.missing}
        if lacking := {name for name in self._wanted if ties.get(name, name) not in settled}:
            for step in plan_save(self._table, self._wanted):
                hint = tuple(name.removeprefix(self._absent) for name in step.outputs)
                self.plan.missing.update({name: hint for name in step.inputs if name in lacking})

    def _result_shapes(self, group: _Group, inputs: tuple[str, ...]) -> list[tuple[int, ...]]:
        if isinstance(group.rule.op, Same):
            return [self._disk[name] for name in inputs]
        try:
            return [tuple(t.shape) for t in group.rule.op.forward(_outlines(inputs, self._disk))]
        except (RuntimeError, ValueError) as error:  # torch's own words for sizes that do not add up
            target = group.spelled(group.rule.memory)[0]
            self.plan.mismatched.append(
                Mismatch(
                    name=target,
                    disk=inputs,
                    found=self._disk[inputs[0]],
                    needed=self._wanted[target],
                    blame=f"{group.rule.op}: {str(error).splitlines()[0]}",
                )
            )
            return [self._wanted[name] for name in group.spelled(group.rule.memory)]


def _outlines(names: tuple[str, ...], shapes: Shapes) -> list[Tensor]:
    return [torch.empty(shapes[name], dtype=torch.uint8, device="meta") for name in names]


def _applies(rule: Rule | Drop, match: Match) -> bool:
    return rule.layers is None or int(match.binding["layer"]) in rule.layers


def _is_other_head(targets: Sequence[str], wanted: Collection[str]) -> bool:
    parts = {target.removeprefix(MEMORY_PREFIX).split(".")[0] for target in targets} & HEADS
    return bool(parts) and not any(n.removeprefix(MEMORY_PREFIX).split(".")[0] in parts for n in wanted)
