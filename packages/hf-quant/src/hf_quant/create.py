"""Packing a plain checkpoint while it is read: which weights, as the files would have them had they been packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from hf_config.quantization import QuantizationConfig
from hf_modeling.weights.ops import Op
from hf_modeling.weights.plan import Step, plan_load
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import WeightTable
from hf_quant.codec import Codec, Shape
from hf_quant.errors import CalibrationNeededError, PackingError
from hf_quant.method import Method, Place
from hf_quant.move import logical, plan_regroup
from hf_quant.skip import reason_to_skip
from hf_quant.source import Measure, Pack
from hf_quant.stacking import specs_of
from hf_quant.stored import module_of, part_name
from hf_quant.units import Spelling, Unit, identity


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Weights of a plain checkpoint that one rule turns into weights of the model.

    disk: their names as the family's table spells them; shapes: as linear layers use them.
    """

    step: Step
    disk: tuple[str, ...]
    shapes: tuple[Shape, ...]
    transposed: bool

    @property
    def modules(self) -> tuple[str, ...]:
        """The layers' names, on disk and in memory."""
        return tuple(map(module_of, (*self.disk, *self.step.outputs)))


def needs_data(method: Method) -> CalibrationNeededError:
    """The error for a method whose weights cannot be made from plain ones alone."""
    return CalibrationNeededError(
        f"{method.name} chooses its roundings with data, and a checkpoint has none",
        fix=f"hft quantize --method {method.name} MODEL OUT, or load a checkpoint that was made with it",
    )


def choose_codecs(
    target: Target,
    method: Method,
    config: QuantizationConfig,
    outputs: frozenset[str],
    dtype: torch.dtype,
) -> tuple[Codec, ...] | str:
    """A codec for each of the target's disk weights, or why they stay plain. Raises PackingError."""
    if (reason := reason_to_skip(target.modules, method.skip(config), outputs)) is not None:
        return reason
    memory = tuple(map(module_of, target.step.outputs))
    codecs: list[Codec] = []
    for name, shape in zip(target.disk, target.shapes, strict=True):
        codec = _codec(method, config, name, memory, shape, dtype)
        if codec is None:
            return "settings choose no format for it"
        codecs.append(codec)
    return tuple(codecs)


def _codec(
    method: Method,
    config: QuantizationConfig,
    name: str,
    memory: tuple[str, ...],
    shape: Shape,
    dtype: torch.dtype,
) -> Codec | None:
    create = method.create or method.calibrated
    assert create is not None, "methods that only read never come here"
    codec = create(config, Place(module=module_of(name), memory=memory, shape=shape, dtype=dtype))
    if codec is not None:
        try:
            specs_of(codec, shape)
        except PackingError as error:
            raise PackingError(
                f"{module_of(name)} cannot be packed: {error.what}",
                fix="choose another group size, or leave this layer out in the settings",
            ) from None
    return codec


def units_of(
    target: Target,
    codecs: tuple[Codec, ...],
    method: Method,
    config: QuantizationConfig,
    dtype: torch.dtype,
) -> tuple[Unit, ...]:
    """How the target's weights are packed: as the checkpoint has them, or else one by one as the model does."""
    codec, names = codecs[0], _written(codecs[0])
    if all(other == codec for other in codecs):
        regroup = plan_regroup(codec, target.step.rule.op, target.shapes, None, names)
        if regroup is not None:
            return (Unit(disk=target.disk, memory=target.step.outputs, regroup=regroup),)
    shapes = _shapes(logical(target.step.rule.op), target.shapes)
    units: list[Unit] = []
    for name, shape in zip(target.step.outputs, shapes, strict=True):
        own = _codec(method, config, name, (module_of(name),), shape, dtype) or codec
        units.append(Unit(disk=(name,), memory=(name,), regroup=identity(own, shape, _written(own))))
    return tuple(units)


def _written(codec: Codec) -> tuple[str, ...]:
    return tuple(part.name for part in codec.parts if part.written)


def packs_of(
    target: Target,
    units: Sequence[Unit],
    source: Source,
    dtype: torch.dtype,
    measured: Measure | None,
) -> dict[str, tuple[Pack, str]]:
    """What makes each tensor of the units, by its name on disk."""
    made: dict[str, tuple[Pack, str]] = {}
    plain = _Plain(source, target, dtype)
    for number, unit in enumerate(units):
        by_name = {part.name: part for part in unit.codec.parts}
        as_on_disk = unit.disk == target.disk
        for i, (name, shape) in enumerate(zip(unit.disk, unit.regroup.disk, strict=True)):
            read = partial(plain.on_disk, i) if as_on_disk else partial(plain.in_memory, number)
            needs = (target.step.inputs[i],) if as_on_disk else target.step.inputs
            weight = Pack(name, unit.codec, shape, needs, read, measured)
            made.update({part_name(by_name[part], name): (weight, part) for part in unit.regroup.names})
    return made


@final
class _Plain:
    """A target's plain weights, of the model's element type, as linear layers use them."""

    def __init__(self, source: Source, target: Target, dtype: torch.dtype) -> None:
        self._source, self._target, self._dtype = source, target, dtype

    def on_disk(self, number: int) -> Tensor:
        """One of the disk weights."""
        read = self._source.read(self._target.step.inputs[number])
        return (read.mT if self._target.transposed else read).to(self._dtype)

    def in_memory(self, number: int) -> Tensor:
        """One of the memory weights."""
        step = self._target.step
        made = step.load([self._source.read(name) for name in step.inputs])
        return made[step.outputs[number]].to(self._dtype)


def _shapes(op: Op, shapes: Sequence[Shape]) -> list[Shape]:
    return [tuple(t.shape) for t in op.forward([torch.empty(s, device="meta") for s in shapes])]


def plain_targets(
    source: Source,
    table: WeightTable,
    wanted: Mapping[str, Shape],
    ties: Mapping[str, str],
    *,
    leave_out: Set[str] = frozenset(),
    where: str,
) -> list[Target]:
    """What the checkpoint's plain matrices become in the model; `leave_out` are parts of packed ones."""
    shapes = {name: shape for name, shape in source.shapes.items() if name not in leave_out}
    plan = plan_load(table, shapes, wanted, ties=ties, skip=lambda name: False, where=where)
    spelling = Spelling(table, source.shapes)
    wrong = {mismatch.name for mismatch in plan.mismatched}
    targets: list[Target] = []
    for step in plan.steps:
        sizes = [shapes[name] for name in step.inputs]
        if min(map(len, sizes)) < 2 or not wrong.isdisjoint(step.outputs):
            continue  # wrong shapes are the loader's to report
        transposed = spelling.is_transposed(step)
        seen = tuple((*s[:-2], s[-1], s[-2]) if transposed else s for s in sizes)
        targets.append(Target(step=step, disk=spelling.of(step), shapes=seen, transposed=transposed))
    return targets
