"""BitNet's ternary weights: -1, 0 and 1 with one scale, and activations of eight bits.

Sources: Ma et al., "The Era of 1-bit LLMs" (arXiv 2402.17764); the two layer classes of published checkpoints,
which differ in the direction of the scale. Numbers are in `hf_quant.formats.ternary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats import ternary
from hf_quant.formats.checks import require_multiple
from hf_quant.straight import straight_through


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BitNetPacked:
    """Four ternary weights to a byte. The weight is ternary / scale, or, with `multiplied`, ternary * scale.

    `norm_eps`: the layer has a norm of its own before rounding its input (`rms_norm.weight`), with this epsilon.
    """

    multiplied: bool = False
    norm_eps: float | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        norm = () if self.norm_eps is None else (Part("norm_weight", "rms_norm.weight", written=False),)
        return (Part("weight", "weight"), Part("weight_scale", "weight_scale"), *norm)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        if stored["weight"].dtype is not torch.uint8:
            raise PackingError(
                f"ternary weights are bytes, and these are {stored['weight'].dtype}",
                fix='set quantization_mode to "online" for a checkpoint of plain weights',
            )
        *lead, rows, K = stored["weight"].shape
        return (*lead, 4 * rows, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        require_multiple(N, 4, "the number of outputs")
        made = {
            "weight": Spec((*lead, N // 4, K), torch.uint8),
            "weight_scale": Spec((*lead, 1), torch.bfloat16),
        }
        return made if self.norm_eps is None else {**made, "norm_weight": Spec((*lead, K), torch.bfloat16)}

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None  # a byte holds one row of each quarter

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        scale = parts["weight_scale"].float().reshape(*shape[:-2], 1, 1)
        values = ternary.unpack(parts["weight"]).float()
        return (values * scale if self.multiplied else values / scale).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.specs(tuple(weight.shape))
        N, K = weight.shape[-2:]
        made = [ternary.quantize(matrix) for matrix in weight.reshape(-1, N, K)]
        packed = torch.stack([ternary.pack(values) for values, _ in made])
        scale = torch.stack([1 / factor if self.multiplied else factor for _, factor in made])
        return {
            "weight": packed.view(specs["weight"].shape),
            "weight_scale": scale.to(torch.bfloat16).view(specs["weight_scale"].shape),
        }

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        x = _normed(x, parts, self.norm_eps)

        def multiplied(x: Tensor) -> Tensor:
            # The two layer classes differ in this, too: one rounds in float32.
            codes, factor = ternary.quantize_activations(x.float() if self.multiplied else x)
            values = ternary.unpack(parts["weight"])
            scale = parts["weight_scale"].float()
            # Sums of integers below 2^24 are exact in float32.
            sums = F.linear(codes.float(), values.float())
            return (sums * scale / factor if self.multiplied else sums / (scale * factor)).to(x.dtype)

        return straight_through(x, multiplied, lambda: self.dequantize(parts, shape, x.dtype))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BitNetOnline:
    """The plain weight, rounded to ternary at every call: what BitNet trains, and some checkpoints hold."""

    norm_eps: float | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        norm = () if self.norm_eps is None else (Part("norm_weight", "rms_norm.weight", written=False),)
        return (Part("weight", "weight"), *norm)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return stored["weight"].shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        made = {"weight": Spec(shape, torch.bfloat16)}
        return made if self.norm_eps is None else {**made, "norm_weight": Spec(shape[-1:], torch.bfloat16)}

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None  # the mean is that of all rows

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return rounded(parts["weight"]).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        return {"weight": weight}

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        x = _normed(x, parts, self.norm_eps)

        def multiplied(x: Tensor) -> Tensor:
            return F.linear(rounded_activations(x), self.dequantize(parts, shape, x.dtype))

        return straight_through(x, multiplied, lambda: self.dequantize(parts, shape, x.dtype))


def rounded(weight: Tensor) -> Tensor:
    """The weight's nearest ternary multiple of its mean magnitude, float32."""
    values, scale = ternary.quantize(weight)
    return values / scale


def rounded_activations(x: Tensor) -> Tensor:
    """Each row as multiples of its largest magnitude / 127, in the dtype of x."""
    codes, factor = ternary.quantize_activations(x.float())
    return (codes / factor).to(x.dtype)


def training_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer that BitNet trains: both sides rounded, gradients as if neither were."""
    x = x + (rounded_activations(x) - x).detach()
    weight = weight + (rounded(weight).to(weight.dtype) - weight).detach()
    return F.linear(x, weight, bias)


def _normed(x: Tensor, parts: Parts, eps: float | None) -> Tensor:
    if eps is None:
        return x
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return parts["norm_weight"] * normed.to(x.dtype)
