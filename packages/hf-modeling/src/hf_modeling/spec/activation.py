"""Activations: the plain ones by name, those with parameters or with their own gating as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PlainActivation = Literal[
    "silu",
    "gelu",
    "gelu_tanh",
    "gelu_sigmoid",
    "gelu_clipped",
    "relu",
    "relu2",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "mish",
    "sigmoid",
    "softplus",
    "tanh",
    "identity",
    "hardswish",
    "laplace",
    "sqrt_softplus",
]
"""`gelu_sigmoid` is x * sigmoid(1.702 x), `gelu_clipped` is gelu within [-10, 10], `relu2` is relu(x) squared,
`laplace` is the normal distribution with mean sqrt(1/2) and deviation sqrt(1 / 4 pi) (arXiv 2209.10655)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class XIelu:
    """Expanded integral of ELU with trained curvatures (arXiv 2411.13010).

    With p = softplus(alpha_p) and n = beta + softplus(alpha_n): x > 0 gives p x^2 + beta x, otherwise
    n (expm1(min(x, eps)) - x) + beta x. The values here are where training starts.
    """

    alpha_p: float = 0.8
    alpha_n: float = 0.8
    beta: float = 0.5
    eps: float = -1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class ClampedSwiglu:
    """(clamp(up, -limit, limit) + offset) * g * sigmoid(alpha g) with g = min(gate, limit)."""

    limit: float = 7.0
    alpha: float = 1.702
    offset: float = 1.0


Activation = PlainActivation | XIelu
GatedActivation = PlainActivation | ClampedSwiglu
