"""Gradients for products that round their input: as if nothing had been rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def straight_through(x: Tensor, product: Callable[[Tensor], Tensor], weight: Callable[[], Tensor]) -> Tensor:
    """`product(x)`, `[..., K]` to `[..., N]`, whose gradient for x is grad @ weight, `[N, K]`."""
    if torch.is_grad_enabled() and x.requires_grad:
        made: Tensor = _StraightThrough.apply(x, product, weight)  # type: ignore[no-untyped-call] # torch's own
        return made
    return product(x)


@final
class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, product: Callable[[Tensor], Tensor], weight: Callable[[], Tensor]
    ) -> Tensor:
        ctx.weight = weight  # type: ignore[attr-defined] # a context carries what backward needs
        return product(x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, None, None]:
        weight: Callable[[], Tensor] = ctx.weight  # type: ignore[attr-defined] # put there by forward
        return grad @ weight(), None, None
