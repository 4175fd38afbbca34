"""MLX's affine groups: W = q * scale + bias, numbers packed along the input in words of 32 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hf_quant.affine import Integers, group_count
from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats.checks import require_finite
from hf_quant.packing import WORD, pack_bits, unpack_bits, words


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Mlx:
    """MLX's layout.

    biases: what a layer's shifts are called: `biases` on the Hub, `qbiases` beside real ones.
    scales: the element type that scales and shifts are made in.
    """

    bits: int = 4
    group_size: int = 64
    biases: str = "biases"
    scales: torch.dtype = torch.float16

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part("weight", "weight"), Part("scales", "scales"), Part("biases", self.biases))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, packed = stored["weight"].shape
        return (*lead, packed * WORD // self.bits)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, K = shape
        if K * self.bits % WORD:
            raise PackingError(f"{K} numbers of {self.bits} bits do not fill words of {WORD} bits")
        scales = Spec((*lead, group_count(K, self.group_size)), self.scales)
        return {
            "weight": Spec((*lead, words(K, self.bits)), torch.uint32),
            "scales": scales,
            "biases": scales,
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        return {"weight": Rows(-2), "scales": Rows(-2), "biases": Rows(-2)}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        q_NK = unpack_bits(parts["weight"], self.bits, shape[-1])
        return Integers(q_NK=q_NK, scale_NG=parts["scales"], shift_NG=parts["biases"])

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        assert integers.shift_NG is not None, "this format has shifts"
        return {
            "weight": pack_bits(integers.q_NK, self.bits, torch.uint32),
            "scales": integers.scale_NG,
            "biases": integers.shift_NG,
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """Steps from the end of larger magnitude towards the other, as MLX does: zero stays exact where it can."""
        self.specs(tuple(weight.shape))
        grouped = torch.unflatten(weight.float(), -1, (group_count(weight.shape[-1], self.group_size), -1))
        top = 2**self.bits - 1
        low, high = grouped.amin(-1), grouped.amax(-1)
        require_finite(high - low)
        from_low = low.abs() > high.abs()
        scale = ((high - low) / top).clamp(min=1e-7)
        scale = torch.where(from_low, scale, -scale)
        edge = torch.where(from_low, low, high)
        steps = torch.round(edge / scale)
        whole = steps != 0
        scale = torch.where(whole, edge / steps, scale)
        shift = torch.where(whole, edge, torch.zeros_like(edge))
        scale, shift = scale.to(self.scales), shift.to(self.scales)
        q = torch.round((grouped - shift.float()[..., None]) / scale.float()[..., None]).clamp_(0, top)
        q_NK = q.to(torch.uint8).reshape(weight.shape)
        return self.assemble(Integers(q_NK=q_NK, scale_NG=scale, shift_NG=shift))
