"""Random initial weights: what a model starts from when no checkpoint fills it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import nn

if TYPE_CHECKING:
    from hf_modeling.weights.slots import Slot

DEFAULT_STD = 0.02

_empty: ContextVar[bool] = ContextVar("hf_modeling_empty", default=False)


@contextmanager
def without_weights() -> Iterator[None]:
    """Models that this thread makes in the block keep their parameters on meta: they are about to be filled.

    `torch.device("meta")` has the same effect on them, and slows down every call of torch meanwhile.
    """
    token = _empty.set(True)
    try:
        yield
    finally:
        _empty.reset(token)


def wanted_device() -> torch.device:
    """Where models are made: the ambient device, or meta in a `without_weights` block."""
    return torch.device("meta") if _empty.get() else torch.get_default_device()


def allocate(module: nn.Module, device: torch.device) -> list[nn.Module]:
    """Replace meta parameters and buffers by uninitialised memory on `device`; ties stay ties.

    Returns the modules that got some.
    """
    made: dict[int, nn.Parameter] = {}
    owners: dict[nn.Module, None] = {}
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None and parameter.is_meta:
                if id(parameter) not in made:
                    memory = torch.empty_like(parameter, device=device)
                    made[id(parameter)] = nn.Parameter(memory, requires_grad=parameter.requires_grad)
                    owners[owner] = None
                owner._parameters[name] = made[id(parameter)]
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.is_meta:
                owner._buffers[name] = torch.empty_like(buffer, device=device)
                owners[owner] = None
    return list(owners)


@runtime_checkable
class Initializable(Protocol):
    """A module that knows its own starting values (norms, gates, decays) and fills them in place."""

    def init_weights(self, std: float) -> None: ...


def fill_missing(
    slots: Iterable[Slot], dtype: torch.dtype, place: Callable[[str], torch.device], std: float
) -> None:
    """Random values for slots that are still on meta; what their modules already hold stays."""
    slots = list(slots)
    for slot in slots:
        if not slot.is_parameter:
            slot.put(torch.zeros_like(slot.tensor, device=place(slot.path)))
    for module, path in {slot.owner: slot.path for slot in slots}.items():
        held = {n: p for n, p in module._parameters.items() if p is not None and not p.is_meta}
        fresh = {n: p for n, p in module._parameters.items() if p is not None}
        for name, parameter in fresh.items():
            memory = torch.empty(parameter.shape, dtype=dtype, device=place(path))
            module._parameters[name] = nn.Parameter(memory)
        _initialize_one(module, std)
        module._parameters.update(held)


@torch.no_grad()
def initialize(modules: Iterable[nn.Module], *, std: float = DEFAULT_STD) -> None:
    """Fill each module's own parameters: matrices and embeddings normal, biases zero, others as they say."""
    for module in modules:
        _initialize_one(module, std)


@torch.no_grad()
def _initialize_one(module: nn.Module, std: float) -> None:
    match module:
        case Initializable():
            module.init_weights(std)
        case nn.Linear() | nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        case nn.Embedding():
            nn.init.normal_(module.weight, std=std)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
        case nn.LayerNorm() | nn.GroupNorm() | nn.BatchNorm1d() | nn.BatchNorm2d() | nn.RMSNorm():
            module.reset_parameters()
        case _:
            pass
