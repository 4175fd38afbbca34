"""Gemma's own low-bit release: rows of 2, 4 or 8-bit integers with one scale, and activations rounded to 8 bits.

Layout as in the peer's `integrations/gemma_quant.py`: several integers to a byte, the first in the lowest bits,
with 2^(bits - 1) added; scales of what goes into a layer and of what comes out are numbers of the checkpoint, of
which 0 means that nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.formats.checks import require_finite, require_multiple
from hf_quant.straight import straight_through


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class GemmaRows:
    """`embedding`: a table of embeddings, whose rows may have several scales (`scales` of them)."""

    bits: int = 4
    embedding: bool = False
    scales: int = 1

    @property
    def parts(self) -> tuple[Part, ...]:
        if self.embedding:
            return (Part("weight", "embedding_quantized"), Part("weight_scale", "embedding_scale"))
        activations = ("input_activation_scale", "output_activation_scale")
        return (
            Part("weight", "weight"),
            Part("weight_scale", "weight_scale"),
            *(Part(name, name, required=False, written=False) for name in activations),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, width = stored["weight"].shape
        return (*lead, width * (8 // self.bits))

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, K = shape
        require_multiple(K, 8 // self.bits, "the number of inputs")
        require_multiple(K, self.scales, "the number of inputs")
        dtype = torch.int8 if self.bits == 8 else torch.uint8
        one = Spec(shape[:-2], torch.float32)
        return {
            "weight": Spec((*lead, K * self.bits // 8), dtype),
            "weight_scale": Spec((*lead, self.scales), torch.float32),
            "input_activation_scale": one,
            "output_activation_scale": one,
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"weight": Rows(-2), "weight_scale": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        packed, scale = parts["weight"], parts["weight_scale"].float()
        if self.bits < 8:
            shifts = torch.arange(0, 8, self.bits, dtype=torch.uint8, device=packed.device)
            fields = (packed.view(torch.uint8)[..., None] >> shifts) & (2**self.bits - 1)
            packed = fields.flatten(-2).to(torch.int8) - 2 ** (self.bits - 1)
        blocks = packed.float().unflatten(-1, (scale.shape[-1], -1)) * scale[..., None]
        made: Tensor = blocks.flatten(-2).to(dtype)
        return made

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.specs(tuple(weight.shape))
        top = 2 ** (self.bits - 1) - 1
        blocks = weight.float().unflatten(-1, (self.scales, -1))
        peak = blocks.abs().amax(-1)
        require_finite(peak)
        scale = torch.where(peak > 0, peak / top, 1.0)
        codes = (blocks / scale[..., None]).round().clamp(-top - 1, top).flatten(-2).to(torch.int8)
        if self.bits < 8:
            fields = (codes + (top + 1)).view(torch.uint8).unflatten(-1, (-1, 8 // self.bits))
            shifts = torch.arange(0, 8, self.bits, dtype=torch.uint8, device=codes.device)
            codes = (fields << shifts).sum(-1, dtype=torch.uint8)
        return {"weight": codes.view(specs["weight"].shape), "weight_scale": scale}

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        def multiplied(x: Tensor) -> Tensor:
            x = _rounded(x, parts.get("input_activation_scale"))
            y = F.linear(x, self.dequantize(parts, shape, x.dtype))
            return _rounded(y, parts.get("output_activation_scale"))

        return straight_through(x, multiplied, lambda: self.dequantize(parts, shape, x.dtype))


def _rounded(x: Tensor, scale: Tensor | None) -> Tensor:
    """x as multiples of the scale from -128 to 127; x itself where the scale is 0."""
    if scale is None:
        return x
    step = scale.to(x.dtype)
    safe = torch.where(step == 0, torch.ones_like(step), step)
    return torch.where(step == 0, x, (x / safe).round().clamp(-128, 127) * safe)
