"""Random initial weights: what a model starts from when no checkpoint fills it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import nn

DEFAULT_STD = 0.02


def allocate(module: nn.Module, device: torch.device) -> None:
    """Replace meta parameters and buffers by uninitialised memory on `device`; ties stay ties."""
    made: dict[int, nn.Parameter] = {}
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None and parameter.is_meta:
                if id(parameter) not in made:
                    memory = torch.empty_like(parameter, device=device)
                    made[id(parameter)] = nn.Parameter(memory, requires_grad=parameter.requires_grad)
                owner._parameters[name] = made[id(parameter)]
        for name, buffer in owner._buffers.items():
            if buffer is not None and buffer.is_meta:
                owner._buffers[name] = torch.empty_like(buffer, device=device)


@runtime_checkable
class Initializable(Protocol):
    """A module that knows its own starting values (norms, gates, decays) and fills them in place."""

    def init_weights(self, std: float) -> None: ...


@torch.no_grad()
def initialize(model: nn.Module, *, std: float = DEFAULT_STD, only: frozenset[str] | None = None) -> None:
    """Fill parameters in place: matrices and embeddings normal with `std`, biases zero, others as they know.

    `only` limits it to modules (dotted names) that hold a parameter which no checkpoint gave.
    """
    for name, module in model.named_modules():
        if only is not None and name not in only:
            continue
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
