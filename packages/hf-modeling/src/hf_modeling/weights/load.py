"""Filling a model built on meta from a checkpoint: plan everything, then read each byte at most once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from hf_modeling.device_map import DeviceMap, offload
from hf_modeling.init import fill_missing
from hf_modeling.weights.errors import (
    Mismatch,
    MissingWeightsError,
    ShapeMismatchError,
    UnexpectedWeightsError,
)
from hf_modeling.weights.fill import Filler
from hf_modeling.weights.match import Patterns
from hf_modeling.weights.plan import LoadPlan, plan_load
from hf_modeling.weights.report import LoadReport
from hf_modeling.weights.slots import Slot, find_slots
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import MEMORY_PREFIX, WeightTable


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Where weights go, and how strict loading is.

    `devices` says where each module lives; `allow_missing` holds patterns of names in memory,
    `allow_unexpected` of names on disk; `sizes` are the config's integers, to blame for a wrong shape.
    """

    dtype: torch.dtype
    devices: DeviceMap
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

    def skip(name: str) -> bool:
        return _matches(name, options.allow_unexpected)

    plan = plan_load(
        table,
        source.shapes,
        {name: tuple(slot.tensor.shape) for name, slot in slots.items()},
        ties=ties,
        skip=skip,
        where=where,
    )
    if table.computed:
        _keep_computed(plan, slots, table, options)
    refuse(plan, options, prefix=prefix, where=where)
    if table.may_differ:
        ties = _without_contradicted(ties, plan, source, table)
    filler = Filler(source, slots, ties, devices=options.devices, dtype=options.dtype, fp32=table.fp32)
    homes = {name: options.devices.lives_on(slot.path) for name, slot in slots.items()}
    deferred = [s for s in plan.steps if all(homes[filler.owner(name)] is None for name in s.outputs)]
    filler.run([step for step in plan.steps if step not in deferred] if deferred else plan.steps)
    for step in plan.repeats:
        plan.dropped.update(filler.compare(step, skip, where))
    if options.check_finite:
        filler.check_finite(where)
    if plan.missing:
        fill_missing(
            [slots[name] for name in plan.missing], options.dtype, options.devices.place, options.std
        )
    _move_constants(model, options.devices)
    if len(options.devices.parts) > 1 or deferred:
        offload(model, options.devices, filler, deferred)
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
        on_disk=tuple(name.removeprefix(prefix) for step in deferred for name in step.outputs),
        seconds=perf_counter() - start,
    )


def _without_contradicted(
    ties: Mapping[str, str], plan: LoadPlan, source: Source, table: WeightTable
) -> dict[str, str]:
    """The ties that hold: where a name may differ and the file says that it does, it is a weight of its own."""
    held = dict(ties)
    for step in [one for one in plan.repeats if one.outputs[0] in table.may_differ]:
        (name,) = step.outputs
        owner = next(one for one in plan.steps if held[name] in one.outputs)
        own, shared = (one.load([source.read(n) for n in one.inputs]) for one in (step, owner))
        if not torch.equal(own[name], shared[held[name]]):
            plan.repeats.remove(step)
            plan.steps.append(step)
            del held[name]
    return held


def _keep_computed(
    plan: LoadPlan, slots: Mapping[str, Slot], table: WeightTable, options: LoadOptions
) -> None:
    """Let constants that the file lacks be what they were built as."""
    patterns = Patterns([table.computed])
    for name in [one for one in plan.missing if patterns.match(one)]:
        del plan.missing[name]
        slot = slots[name]
        slot.put(slot.tensor.to(device=options.devices.place(slot.path), dtype=options.dtype))


def refuse(plan: LoadPlan, options: LoadOptions, *, prefix: str, where: str) -> None:
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


def _move_constants(model: nn.Module, devices: DeviceMap) -> None:
    """Buffers that no checkpoint holds are real from the start; they go where their module runs."""
    for path, module in model.named_modules():
        for name in module._non_persistent_buffers_set:
            if (buffer := module._buffers.get(name)) is not None:
                assert not buffer.is_meta, f"constant {path}.{name} was built on meta; give it device='cpu'"
                module._buffers[name] = buffer.to(devices.runs(path))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
