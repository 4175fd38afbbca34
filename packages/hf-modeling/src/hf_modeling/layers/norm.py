"""Normalisation layers. Statistics are always float32, whatever the input.

H features of a head, N heads; other axes are free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.layers.base import Layer, Linear, parameter


@final
class RmsNormLayer(Layer):
    """x / rms(x) cast to the input's dtype, then times the weight."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = parameter(features)
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.shape, None, self.eps) * self.weight

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.weight)


@final
class RmsNormNarrowLayer(Layer):
    """x cast to the weight's dtype, divided by its root mean square, times the weight."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = parameter(features)
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.to(self.weight.dtype), self.shape, None, self.eps) * self.weight

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.weight)


@final
class RmsNormWideLayer(Layer):
    """x / rms(x) times the weight in float32, then cast to the input's dtype."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = parameter(features)
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.shape, self.weight.float(), self.eps).type_as(x)

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.weight)


@final
class RmsNormPlusOneLayer(Layer):
    """x / rms(x) times one plus the weight in float32, then cast to the input's dtype."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.weight = parameter(features)
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.shape, self.weight.float() + 1.0, self.eps).type_as(x)

    def init_weights(self, std: float) -> None:
        nn.init.zeros_(self.weight)


@final
class RmsScaleLayer(Layer):
    """x / rms(x), without a weight."""

    def __init__(self, features: int, eps: float) -> None:
        super().__init__()
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.shape, None, self.eps)


@final
class LayerNormLayer(Layer):
    """(x - mean) / deviation, times the weight plus the bias, each if there is one."""

    def __init__(self, features: int, eps: float, *, weight: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.weight = parameter(features) if weight else None
        self.bias = parameter(features) if bias else None
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps)

    def init_weights(self, std: float) -> None:
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


@final
class LayerNormPlusOneLayer(Layer):
    """(x - mean) / deviation times one plus the weight, plus the bias."""

    def __init__(self, features: int, eps: float, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = parameter(features)
        self.bias = parameter(features) if bias else None
        self.shape = (features,)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shape, self.weight + 1.0, self.bias, self.eps)

    def init_weights(self, std: float) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


@final
class GatedRmsNormLayer(Layer):
    """A norm times the sigmoid of a small network of its own."""

    def __init__(self, features: int, eps: float, rank: int) -> None:
        super().__init__()
        self.norm = RmsNormLayer(features, eps)
        self.down_proj = Linear(features, rank)
        self.up_proj = Linear(rank, features)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return (y * self.up_proj(F.silu(self.down_proj(y))).float().sigmoid()).type_as(y)


@final
class EachHeadNormLayer(Layer):
    """Each head (..., N, H) normalised by itself and times its own weight, in float32."""

    def __init__(self, heads: int, features: int, eps: float, *, centred: bool) -> None:
        super().__init__()
        self.weight = parameter(heads, features)
        self.shape = (features,)
        self.eps = eps
        self.normalize: Callable[[Tensor, tuple[int, ...], float], Tensor] = _centre if centred else _scale

    def forward(self, x: Tensor) -> Tensor:
        return (self.normalize(x.float(), self.shape, self.eps) * self.weight.float()).type_as(x)

    def init_weights(self, std: float) -> None:
        nn.init.ones_(self.weight)


def _centre(x: Tensor, shape: tuple[int, ...], eps: float) -> Tensor:
    return F.layer_norm(x, shape, None, None, eps)


def _scale(x: Tensor, shape: tuple[int, ...], eps: float) -> Tensor:
    return F.rms_norm(x, shape, None, eps)
