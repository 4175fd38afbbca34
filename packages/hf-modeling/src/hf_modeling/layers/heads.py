"""What happens to queries, keys and values between their projection and the attention product.

Each stage maps heads (B, T, N, H) to heads; `build` lines them up in the family's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from hf_modeling.layers.base import Layer

if TYPE_CHECKING:
    from hf_modeling.step import Step

Stage = Callable[[Tensor, "Step"], Tensor]


@final
@dataclass(frozen=True, slots=True, eq=False)
class NormalizeHeads:
    """Each head normalised by itself."""

    norm: Layer

    def __call__(self, x_BTNH: Tensor, step: Step) -> Tensor:
        return self.norm(x_BTNH)


@final
@dataclass(frozen=True, slots=True, eq=False)
class NormalizeWidth:
    """All heads of a token normalised together."""

    norm: Layer

    def __call__(self, x_BTNH: Tensor, step: Step) -> Tensor:
        return self.norm(x_BTNH.flatten(2)).view(x_BTNH.shape)


@final
@dataclass(frozen=True, slots=True)
class Clip:
    """Every feature bounded to [-limit, limit]."""

    limit: float

    def __call__(self, x_BTNH: Tensor, step: Step) -> Tensor:
        return x_BTNH.clamp(-self.limit, self.limit)


@final
@dataclass(frozen=True, slots=True)
class Multiply:
    """Every feature times a constant."""

    factor: float

    def __call__(self, x_BTNH: Tensor, step: Step) -> Tensor:
        return x_BTNH * self.factor


@final
@dataclass(frozen=True, slots=True)
class ScaleByPosition:
    """Every head times a number that grows with its position."""

    scale: Callable[[Tensor], Tensor]

    def __call__(self, x_BTNH: Tensor, step: Step) -> Tensor:
        scale_BT = step.once(self, lambda: self.scale(step.positions_BT.float()))
        return (x_BTNH * scale_BT[..., None, None]).type_as(x_BTNH)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FloorLog:
    """1 + beta * ln(1 + floor((position + shift) / period))."""

    beta: float
    period: float
    shift: int

    def __call__(self, position: Tensor) -> Tensor:
        return 1 + self.beta * torch.log1p(torch.floor((position + self.shift) / self.period))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ExpLog:
    """exp(beta * ln(1 + (position + shift) / period))."""

    beta: float
    period: float
    shift: int

    def __call__(self, position: Tensor) -> Tensor:
        return torch.exp(self.beta * torch.log1p((position + self.shift) / self.period))
