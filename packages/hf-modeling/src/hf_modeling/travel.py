"""A model over several accelerators: each part runs where its weights are, and a call's tensors go along.

The layers of a model run one after the other, so what they share (the step: masks, positions, keys lent from one
layer to another) needs to be in one place at a time, and moves once for each border between devices.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from hf_modeling.masks import Mask
from hf_modeling.source import Source
from hf_modeling.step import Step

O = TypeVar("O")


@final
class Resident:
    """A part of a model that runs on `device`, whatever device the call comes from."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def attach(self, module: nn.Module) -> None:
        """Bring what `module` is called with, from now on."""
        module.register_forward_pre_hook(self._arrive, with_kwargs=True)

    def _arrive(
        self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args = tuple(self._bring(value) for value in given)
        return args, {name: self._bring(value) for name, value in named.items()}

    def _bring(self, value: object) -> object:
        if isinstance(value, Tensor):
            return value.to(self._device, non_blocking=True)
        if isinstance(value, Step):
            move_step(value, self._device)
        return value


@final
class Returning:
    """A whole model, whose answers come back to the device that callers give their tensors on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def attach(self, module: nn.Module) -> None:
        """Bring back what `module` answers, from now on."""
        module.register_forward_hook(self._leave)

    def _leave(self, module: nn.Module, given: object, output: O) -> O:
        if not is_dataclass(output) or isinstance(output, type):
            return output
        tensors = {f.name: getattr(output, f.name) for f in fields(output)}
        moved = {name: t.to(self._device) for name, t in tensors.items() if isinstance(t, Tensor)}
        return replace(output, **moved)


def move_step(step: Step, device: torch.device) -> None:
    """Everything that the layers of a call share, moved to `device`; nothing where it is there already.

    Masks are made again by the first layer there that asks: a rule is cheaper than its copy.
    """
    if step.device == device:
        return
    step.device = device
    for name in _TENSORS:
        value = getattr(step, name)
        if value is not None:
            setattr(step, name, value.to(device, non_blocking=True))
    if step.custom is not None:
        step.custom = _moved_mask(step.custom, device)
    if step.source is not None:
        step.source = _moved_source(step.source, device)
    step.more = {name: value.to(device) for name, value in step.more.items()}
    step.shared = {layer: (k.to(device), v.to(device)) for layer, (k, v) in step.shared.items()}
    step.rotations = {turn: (cos.to(device), sin.to(device)) for turn, (cos, sin) in step.rotations.items()}
    step.forget()


_TENSORS = (
    "valid_BS",
    "new_valid_BT",
    "next_position_B1",
    "segments_BT",
    "blocks_BT",
    "relative",
    "chosen",
    "per_layer_BTLP",
    "_positions",
)


def _moved_mask(mask: Mask, device: torch.device) -> Mask:
    tensor = mask.allowed
    return mask if tensor is None else Mask(tensor.to(device), causal=mask.causal)


def _moved_source(source: Source, device: torch.device) -> Source:
    states = None if source.states_ASD is None else source.states_ASD.to(device)
    return Source(states, _moved_mask(source.mask, device))
