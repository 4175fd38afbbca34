"""Filling a model built on meta from a checkpoint: plan everything, then read each byte at most once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from time import perf_counter
from typing import final

import torch
from torch import Tensor, nn

from hf_modeling.init import fill_missing
from hf_modeling.weights.errors import (
    Mismatch,
    MissingWeightsError,
    NonFiniteWeightsError,
    ShapeMismatchError,
    TiedWeightsError,
    UnexpectedWeightsError,
    UnsupportedDTypeError,
)
from hf_modeling.weights.match import Patterns
from hf_modeling.weights.ops import Same, Transpose
from hf_modeling.weights.plan import LEFT_OUT, LoadPlan, Step, plan_load
from hf_modeling.weights.report import LoadReport
from hf_modeling.weights.slots import Slot, find_slots
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import MEMORY_PREFIX, WeightTable

_READERS = min(4, os.cpu_count() or 1)  # each holds one tensor more than the weights

COMPUTE_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
"""Element types that models calculate in; others are packings, which only quantized modules read."""


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Where weights go, and how strict loading is.

    `place` gives the device of a module by its name; `allow_missing` holds patterns of names in memory,
    `allow_unexpected` of names on disk; `sizes` are the config's integers, to blame for a wrong shape.
    """

    dtype: torch.dtype
    place: Callable[[str], torch.device]
    allow_missing: tuple[str, ...] = ()
    allow_unexpected: tuple[str, ...] = ()
    check_finite: bool = False
    sizes: Mapping[str, int]
    std: float


def load_weights(
    model: nn.Module,
    source: Source,
    table: WeightTable,
    options: LoadOptions,
    *,
    is_base: bool,
    where: str,
    files: tuple[Path, ...],
) -> LoadReport:
    """Fill every parameter and saved buffer of `model` from `source`, or raise before any byte is read.

    Raises MissingWeightsError, UnexpectedWeightsError, ShapeMismatchError, AmbiguousWeightsError,
    TiedWeightsError, UnsupportedDTypeError, NonFiniteWeightsError.
    """
    start = perf_counter()
    prefix = MEMORY_PREFIX if is_base else ""
    slots, ties = find_slots(model, prefix)
    plan = plan_load(
        table,
        source.shapes,
        {name: tuple(slot.tensor.shape) for name, slot in slots.items()},
        ties=ties,
        skip=lambda name: _matches(name, options.allow_unexpected),
        where=where,
    )
    _refuse(plan, options, prefix=prefix, where=where)
    filler = _Filler(source, slots, ties, table, options)
    filler.run(plan.steps)
    for step in plan.repeats:
        plan.dropped.update(filler.compare(step, where))
    if options.check_finite:
        filler.check_finite(where)
    fill_missing([slots[name] for name in plan.missing], options.dtype, options.place, options.std)
    _move_constants(model, options.place)
    return LoadReport(
        source=where,
        files=files,
        consumed=sum(len(step.inputs) for step in plan.steps),
        ignored=plan.dropped,
        unexpected=tuple(plan.unexpected),
        initialized=tuple(name.removeprefix(prefix) for name in plan.missing),
        tied={name.removeprefix(prefix): owner.removeprefix(prefix) for name, owner in ties.items()},
        bytes_by_dtype=filler.bytes_by_dtype(),
        bytes_mapped=filler.bytes_mapped,
        seconds=perf_counter() - start,
    )


@final
class _Filler:
    """Runs steps: reads their inputs, applies the op, casts, moves, and puts the results in their slots."""

    def __init__(
        self,
        source: Source,
        slots: Mapping[str, Slot],
        ties: Mapping[str, str],
        table: WeightTable,
        options: LoadOptions,
    ) -> None:
        self.bytes_mapped = 0
        self._source, self._slots, self._options = source, slots, options
        self._fp32 = Patterns([table.fp32])
        self._shared: dict[str, list[str]] = {}
        for name, owner in ties.items():
            self._shared.setdefault(owner, []).append(name)
        self._owners = ties
        self._moves = any(options.place(slot.path).type != "cpu" for slot in slots.values())

    def run(self, steps: Sequence[Step]) -> None:
        """Steps that only look at mapped pages run here; those that copy are shared out to threads."""
        copying = [step for step in steps if self._copies(step)]
        looking = [step for step in steps if not self._copies(step)]
        self.bytes_mapped += sum(map(self._fill, looking))
        if copying:
            with ThreadPoolExecutor(_READERS) as pool:
                self.bytes_mapped += sum(pool.map(self._fill, copying))

    def compare(self, step: Step, where: str) -> dict[str, str]:
        """Why a second copy of a tied weight can be left out; raises TiedWeightsError if it differs."""
        ((name, tensor),) = step.load([self._source.read(n) for n in step.inputs]).items()
        owner = self._owners.get(name, name)
        given_up = all(_matches(n, self._options.allow_unexpected) for n in step.inputs)
        if not given_up and not torch.equal(self._placed(owner, tensor), self._slots[owner].tensor):
            raise TiedWeightsError(name, owner, where=where)
        return dict.fromkeys(step.inputs, LEFT_OUT if given_up else f"the same weight as {owner}")

    def check_finite(self, where: str) -> None:
        """Raises NonFiniteWeightsError if a loaded weight holds NaN or infinity."""
        counts = {
            name: int(slot.tensor.numel() - torch.isfinite(slot.tensor).sum())
            for name, slot in self._slots.items()
            if slot.tensor.is_floating_point() and not slot.tensor.is_meta
        }
        if bad := {name: count for name, count in counts.items() if count}:
            raise NonFiniteWeightsError(bad, where=where)

    def bytes_by_dtype(self) -> dict[torch.dtype, int]:
        """Bytes of weights per element type, shared ones once."""
        totals: dict[torch.dtype, int] = {}
        for name, slot in self._slots.items():
            if name not in self._owners:
                tensor = slot.tensor
                totals[tensor.dtype] = totals.get(tensor.dtype, 0) + tensor.nbytes
        return totals

    def _fill(self, step: Step) -> int:
        """Run one step; returns how many bytes of its results are still the file's own pages."""
        inputs = [self._source.read(name) for name in step.inputs]
        mapped = 0
        for name, tensor in step.load(inputs).items():
            owner = self._owners.get(name, name)
            placed = self._placed(owner, tensor)
            mapped += placed.nbytes if self._source.is_mapped(placed) else 0
            self._slots[owner].put(placed)
            for alias in self._shared.get(owner, ()):
                self._slots[alias].put(self._slots[owner].tensor)
        if not mapped:
            self._source.release(step.inputs)
        return mapped

    def _placed(self, name: str, tensor: Tensor) -> Tensor:
        slot = self._slots[name]
        return tensor.to(device=self._options.place(slot.path), dtype=self._dtype(name, tensor.dtype))

    def _dtype(self, name: str, found: torch.dtype) -> torch.dtype:
        """The element type for a slot: the model's own choice for packed and integer ones, else as asked."""
        needed = self._slots[name].tensor.dtype
        if needed not in COMPUTE_DTYPES:
            return needed
        if found not in COMPUTE_DTYPES:
            raise UnsupportedDTypeError(
                f"{name} is stored as {str(found).removeprefix('torch.')}, which is a packing, not numbers",
                fix="load it with the quantization_config that belongs to it in config.json",
            )
        return torch.float32 if self._fp32.match(name) else self._options.dtype

    def _copies(self, step: Step) -> bool:
        if not isinstance(step.rule.op, Same | Transpose) or self._moves:
            return True
        return any(self._source.dtypes[name] != self._options.dtype for name in step.inputs)


def _refuse(plan: LoadPlan, options: LoadOptions, *, prefix: str, where: str) -> None:
    """Raise for everything that stands in the way and that the caller did not allow."""
    if plan.mismatched:
        raise ShapeMismatchError(
            [
                replace(m, name=m.name.removeprefix(prefix), blame=m.blame or _blame(m, options.sizes))
                for m in plan.mismatched
            ],
            where=where,
        )
    missing = {
        name.removeprefix(prefix): on_disk
        for name, on_disk in plan.missing.items()
        if not _matches(name.removeprefix(prefix), options.allow_missing)
    }
    if missing:
        raise MissingWeightsError(missing, where=where, unclaimed=plan.unexpected)
    unexpected = [name for name in plan.unexpected if not _matches(name, options.allow_unexpected)]
    if unexpected:
        raise UnexpectedWeightsError(unexpected, where=where)


def _blame(mismatch: Mismatch, sizes: Mapping[str, int]) -> str:
    """The config's fields that have the size the tensor lacks."""
    if len(mismatch.found) != len(mismatch.needed):
        return ""
    wrong = {n for f, n in zip(mismatch.found, mismatch.needed, strict=True) if f != n}
    return ", ".join(f"{field} = {size}" for field, size in sizes.items() if size in wrong)


def _move_constants(model: nn.Module, place: Callable[[str], torch.device]) -> None:
    """Buffers that no checkpoint holds are real from the start; they only move."""
    for path, module in model.named_modules():
        for name in module._non_persistent_buffers_set:
            if (buffer := module._buffers.get(name)) is not None:
                assert not buffer.is_meta, f"constant {path}.{name} was built on meta; give it device='cpu'"
                module._buffers[name] = buffer.to(place(path))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
