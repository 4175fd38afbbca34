"""MXFP4: four-bit floats in groups of 32 with a power of two each (OCP Microscaling Formats 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.formats import e2m1
from hf_quant.formats.checks import require_multiple
from hf_quant.kernels import cuda
from hf_quant.linear import Kernel


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Mxfp4:
    """Codes two to a byte. `blocked` files keep a group's 16 bytes as a dimension: (..., N, K / 32, 16).

    `codes` and `scales` are what a layer's tensors are called; stacked experts of gpt-oss end in `_blocks` and
    `_scales`.
    """

    blocked: bool = True
    codes: str = "weight_blocks"
    scales: str = "weight_scales"

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part("blocks", self.codes, stacked="_blocks"), Part("scales", self.scales, stacked="_scales"))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        if self.blocked:
            *lead, groups, width = stored["blocks"].shape
            return (*lead, 2 * groups * width)
        *lead, half = stored["blocks"].shape
        return (*lead, 2 * half)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, K = shape
        require_multiple(K, e2m1.MX_BLOCK, "the number of inputs")
        groups = K // e2m1.MX_BLOCK
        codes = (*lead, groups, e2m1.MX_BLOCK // 2) if self.blocked else (*lead, K // 2)
        return {"blocks": Spec(codes, torch.uint8), "scales": Spec((*lead, groups), torch.uint8)}

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"blocks": Rows(-3 if self.blocked else -2), "scales": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        codes = parts["blocks"].flatten(-2) if self.blocked else parts["blocks"]
        return e2m1.dequantize_mx(codes, parts["scales"], dtype)

    def kernel(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Kernel | None:
        """Our product of few rows, on CUDA."""
        codes = parts["blocks"].flatten(-2) if self.blocked else parts["blocks"]
        scales = e2m1.e8m0_scales(parts["scales"])
        return cuda.four_bit_product(codes, scales, e2m1.levels(), dtype, low_first=True)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.specs(tuple(weight.shape))
        codes, scales = e2m1.quantize_mx(weight)
        return {"blocks": codes.view(specs["blocks"].shape), "scales": scales}
