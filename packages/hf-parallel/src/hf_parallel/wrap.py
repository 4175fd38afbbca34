"""Doing something around a module's forward pass, inside whatever hooks it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

Forward: TypeAlias = Callable[..., Tensor]
"""A layer's `forward`: its input first, then what its kind of layer takes beside it."""


def around(module: nn.Module, wrap: Callable[[Forward], Forward]) -> None:
    """Let calls of `module` run what `wrap` makes of its forward.

    FSDP's and autograd's hooks stay outside: parameters are at hand when the wrapper runs.
    """
    module.forward = wrap(module.forward)
