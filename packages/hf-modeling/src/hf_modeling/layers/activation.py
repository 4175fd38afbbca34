"""Activations, and the two ways a gate and a value become one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.layers.base import Layer, parameter
from hf_modeling.spec import ClampedSwiglu, GatedActivation, PlainActivation, XIelu

Unary = Callable[[Tensor], Tensor]
Gating = Callable[[Tensor, Tensor], Tensor]


def relu2(x: Tensor) -> Tensor:
    """relu(x) squared."""
    return F.relu(x).square()


def gelu_sigmoid(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def gelu_clipped(x: Tensor) -> Tensor:
    """gelu(x) bounded to [-10, 10]."""
    return F.gelu(x).clamp(-10, 10)


def laplace(x: Tensor) -> Tensor:
    """The normal distribution function with mean 0.707107 and deviation 0.282095."""
    return 0.5 * (1 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2))))


def sqrt_softplus(x: Tensor) -> Tensor:
    """Square root of softplus(x)."""
    return F.softplus(x).sqrt()


def identity(x: Tensor) -> Tensor:
    """x."""
    return x


PLAIN: Final[Mapping[PlainActivation, Unary]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "gelu_sigmoid": gelu_sigmoid,
    "gelu_clipped": gelu_clipped,
    "relu": F.relu,
    "relu2": relu2,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "mish": F.mish,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "identity": identity,
    "hardswish": F.hardswish,
    "laplace": laplace,
    "sqrt_softplus": sqrt_softplus,
}


@final
class XIeluLayer(Layer):
    """The activation with trained curvatures; see `spec.XIelu` for the formula."""

    beta: Tensor
    eps: Tensor

    def __init__(self, spec: XIelu) -> None:
        super().__init__()
        self.alpha_p = parameter(1)
        self.alpha_n = parameter(1)
        # Checkpoints carry these two constants, so they are part of the state; they are not trained.
        self.register_buffer("beta", torch.tensor(spec.beta, device="cpu"))
        self.register_buffer("eps", torch.tensor(spec.eps, device="cpu"))
        self.start_p, self.start_n = spec.alpha_p, spec.alpha_n - spec.beta

    def forward(self, x: Tensor) -> Tensor:
        positive = F.softplus(self.alpha_p) * x * x
        negative = (self.beta + F.softplus(self.alpha_n)) * (torch.expm1(torch.minimum(x, self.eps)) - x)
        return torch.where(x > 0, positive, negative) + self.beta * x

    def init_weights(self, std: float) -> None:
        nn.init.constant_(self.alpha_p, _inverse_softplus(self.start_p))
        nn.init.constant_(self.alpha_n, _inverse_softplus(self.start_n))


def gating(spec: GatedActivation, multiplier: float = 1.0) -> Gating:
    """How a gate (times `multiplier`, then activated) and a value are joined."""
    if isinstance(spec, ClampedSwiglu):
        return partial(_clamped_swiglu, spec.limit, spec.alpha, spec.offset)
    if multiplier != 1.0:
        return partial(_multiplied, PLAIN[spec], multiplier)
    return _silu_times if spec == "silu" else partial(_times, PLAIN[spec])


def _silu_times(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


def _times(activation: Unary, gate: Tensor, up: Tensor) -> Tensor:
    return activation(gate) * up


def _multiplied(activation: Unary, multiplier: float, gate: Tensor, up: Tensor) -> Tensor:
    return activation(gate * multiplier) * up


def _clamped_swiglu(limit: float, alpha: float, offset: float, gate: Tensor, up: Tensor) -> Tensor:
    gate = gate.clamp(max=limit)
    return (up.clamp(-limit, limit) + offset) * (gate * torch.sigmoid(alpha * gate))


def _inverse_softplus(y: float) -> float:
    return float(torch.tensor(y, dtype=torch.float64, device="cpu").expm1().log())
