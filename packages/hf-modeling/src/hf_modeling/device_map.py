"""`device_map`: which part of a model lives where, and bringing the parts that live elsewhere when they run.

A part on an accelerator runs there, and where a map names several, calls travel from one to the next. Parts mapped
to the CPU beside an accelerator keep their weights in main memory and are copied to the first accelerator for each
call; parts mapped to "disk" keep none at all: their loading steps run at each call, and what they made is dropped
after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_hub_io.errors import MissingPackageError
from hf_modeling.errors import ModelingError
from hf_modeling.travel import Resident, Returning

if TYPE_CHECKING:
    from hf_modeling.weights.fill import Filler
    from hf_modeling.weights.plan import Step
    from hf_modeling.weights.slots import Slot

CPU = torch.device("cpu")
DISK = "disk"
AUTOMATIC = ("auto", "balanced", "balanced_low_0", "sequential")


class DeviceMapError(ModelingError, ValueError):
    """A device map that does not fit the model or this machine."""


@final
@dataclass(frozen=True, kw_only=True)
class DeviceMap:
    """Where each part lives. `parts` maps module names to a device, or to None for disk; "" is the whole model.

    `runs_on` is where parts without an accelerator of their own run, and where answers come back to.
    """

    parts: Mapping[str, torch.device | None]
    runs_on: torch.device

    @property
    def accelerators(self) -> tuple[torch.device, ...]:
        """The accelerators that the map names, in its order."""
        named = (device for device in self.parts.values() if device is not None and device.type != "cpu")
        return tuple(dict.fromkeys(named))

    def lives_on(self, path: str) -> torch.device | None:
        """The entry for the module `path`: its own or its nearest parent's."""
        while path and path not in self.parts:
            path = path.rpartition(".")[0]
        return self.parts[path]

    def place(self, path: str) -> torch.device:
        """Where loading puts a module's weights."""
        home = self.lives_on(path)
        return self.runs_on if home is None else home

    def runs(self, path: str) -> torch.device:
        """Where a module runs: where its weights are, if that is an accelerator."""
        home = self.place(path)
        return self.runs_on if home == CPU else home


def plan_devices(
    model: nn.Module,
    wanted: str | Mapping[str, torch.device | str | int],
    *,
    dtype: torch.dtype,
    max_memory: Mapping[int | str, int | str] | None,
) -> DeviceMap:
    """The map that the caller describes, or one that accelerate makes for this machine, checked against the model.

    Raises DeviceMapError, MissingPackageError.
    """
    if isinstance(wanted, str) and wanted in AUTOMATIC:
        wanted = _automatic(model, wanted, dtype, max_memory)
    elif isinstance(wanted, str):
        wanted = {"": wanted}
    parts = {name: _device(name, where) for name, where in wanted.items()}
    names = {name for name, _ in model.named_modules()}
    if strangers := [name for name in parts if name not in names]:
        raise DeviceMapError(
            f"device_map names {strangers[0]!r}, which is no part of {type(model).__name__}",
            fix=f"use names of its modules, such as {', '.join(sorted(names - {''})[:3])}",
        )
    holders = [name for name, module in model.named_modules() if _holds_weights(module)]
    if "" not in parts and (bare := [n for n in holders if not any(_inside(n, part) for part in parts)]):
        raise DeviceMapError(
            f"device_map leaves out {len(bare)} modules with weights: {', '.join(bare[:5])}",
            fix='give every module a device, or the rest with the entry "": DEVICE',
        )
    found = DeviceMap(parts=parts, runs_on=CPU)
    return replace(found, runs_on=found.accelerators[0]) if found.accelerators else found


def offload(model: nn.Module, devices: DeviceMap, filler: Filler, deferred: Iterable[Step]) -> None:
    """Let every part that does not live where it runs come and go with its calls."""
    by_output = {name: step for step in deferred for name in step.outputs}
    for path, unit in _units(model):
        slots = filler.slots_under(path)
        steps = {id(s): s for name in slots if (s := by_output.get(filler.owner(name))) is not None}
        if steps:
            _Deferred(filler, list(steps.values())).attach(unit)
        elif devices.place(path) != devices.runs(path):
            _Visiting(list(slots.values()), devices.runs_on).attach(unit)
    if len(devices.accelerators) > 1:
        spread(model, devices)


def spread(model: nn.Module, devices: DeviceMap) -> None:
    """Let a model whose weights are on several accelerators run there, and answer on the first."""
    Returning(devices.runs_on).attach(model)
    for path, unit in _units(model):
        # By the weights themselves: tied ones are in one place, whatever the map says of the other.
        homes = {parameter.device for parameter in unit.parameters()} & set(devices.accelerators)
        Resident(homes.pop() if len(homes) == 1 else devices.runs(path)).attach(unit)


@final
class _Visiting:
    """Weights in main memory, copied to where the module runs for the time of a call."""

    def __init__(self, slots: list[Slot], device: torch.device) -> None:
        self._slots, self._device = slots, device
        self._home: list[Tensor] = []

    def attach(self, module: nn.Module) -> None:
        module.register_forward_pre_hook(self._arrive)
        module.register_forward_hook(self._leave, always_call=True)

    def _arrive(self, module: nn.Module, inputs: object) -> None:
        self._home = [slot.tensor for slot in self._slots]
        for slot, tensor in zip(self._slots, self._home, strict=True):
            slot.put(tensor.to(self._device, non_blocking=True))

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        for slot, tensor in zip(self._slots, self._home, strict=True):
            slot.put(tensor)
        self._home = []


@final
class _Deferred:
    """No weights at all between calls: the steps that load them run before each, from the checkpoint's files."""

    def __init__(self, filler: Filler, steps: list[Step]) -> None:
        self._filler, self._steps = filler, steps
        owners = {filler.owner(name) for step in steps for name in step.outputs}
        # Tied weights arrive in every part that shares them, so they leave all of them.
        everywhere = filler.slots_under("")
        self._outlines = {
            name: slot.tensor for name, slot in everywhere.items() if filler.owner(name) in owners
        }

    def attach(self, module: nn.Module) -> None:
        module.register_forward_pre_hook(self._arrive)
        module.register_forward_hook(self._leave, always_call=True)

    def _arrive(self, module: nn.Module, inputs: object) -> None:
        for step in self._steps:
            self._filler.fill(step)

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        self._filler.empty(self._steps, self._outlines)


def _automatic(
    model: nn.Module, policy: str, dtype: torch.dtype, max_memory: Mapping[int | str, int | str] | None
) -> dict[str, torch.device | str | int]:
    """accelerate's plan for this machine's memory; blocks stay whole."""
    try:
        from accelerate import infer_auto_device_map
        from accelerate.utils import get_balanced_memory, get_max_memory
    except ImportError:
        raise MissingPackageError(
            "accelerate", f'device_map="{policy}"', "pip install 'hf-modeling[accelerate]'"
        ) from None
    parts = nn.Module()  # the model without its class, whose name accelerate would take for the peer's
    for name, child in model.named_children():
        parts.add_module(name, child)
    whole = sorted({type(block).__name__ for _, block in _units(model)})
    memory: dict[int | str, int] = get_max_memory(None if max_memory is None else dict(max_memory))
    if policy != "sequential":
        memory = get_balanced_memory(parts, memory, whole, dtype, low_zero=policy == "balanced_low_0")
    plan: dict[str, torch.device | str | int] = infer_auto_device_map(parts, memory, whole, dtype)
    return plan


def _device(name: str, where: torch.device | str | int) -> torch.device | None:
    if where == DISK:
        return None
    try:
        return torch.device(where)
    except RuntimeError:
        raise DeviceMapError(
            f"device_map gives {name or 'the model'} to {where!r}, which is no device",
            fix='use "cpu", "disk", or an accelerator such as 0 or "cuda:0"',
        ) from None


def _units(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts that come and go as a whole: the blocks, and modules with weights outside of them."""
    blocks = [
        (f"{path}.{name}" if path else name, block)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        for name, block in module.named_children()
    ]
    outer = [
        (path, block) for path, block in blocks if not any(_inside(path, p) for p, _ in blocks if p != path)
    ]
    loose = [
        (path, module)
        for path, module in model.named_modules()
        if _holds_weights(module) and not any(_inside(path, p) for p, _ in outer)
    ]
    return [*outer, *loose]


def _holds_weights(module: nn.Module) -> bool:
    return any(p is not None for p in (*module._parameters.values(), *module._buffers.values()))


def _inside(path: str, part: str) -> bool:
    return part == "" or path == part or path.startswith(f"{part}.")
