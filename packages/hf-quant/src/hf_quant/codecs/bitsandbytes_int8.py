"""bitsandbytes' 8-bit weights, LLM.int8(): a scale for each row, and activations of 8 bits but for outliers.

Source: Dettmers et al., "LLM.int8()" (arXiv 2208.07339): columns of activations with a magnitude of at least
`threshold` are multiplied in floating point, the rest as integers with a scale for each row of either side.
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
from hf_quant.formats.checks import require_finite
from hf_quant.straight import straight_through

_UNIT = 7.874015718698502e-3  # 1 / 127 as the library rounds it
_UNIT_SQUARED = 6.200124e-05  # its own rounding of 1 / 127^2
_ROW_MAJOR = 0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BitsAndBytesInt8:
    """Rows of int8 whose largest magnitude, `SCB`, stands for 127. `threshold` 0 leaves no outliers apart."""

    threshold: float = 6.0

    @property
    def parts(self) -> tuple[Part, ...]:
        return (
            Part("weight", "weight"),
            Part("SCB", "SCB"),
            Part("weight_format", "weight_format", required=False),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        if "weight_format" in stored and bool((stored["weight_format"].read() != _ROW_MAJOR).any()):
            raise PackingError(
                "weight_format is not 0: 8-bit weights in a layout of one kind of graphics card",
                fix="load and save them with bitsandbytes 0.45 or later, which writes rows",
            )
        return stored["weight"].shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        return {
            "weight": Spec(shape, torch.int8),
            "SCB": Spec(shape[:-1], torch.float32),
            "weight_format": Spec(shape[:-2], torch.uint8),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"weight": Rows(-2), "SCB": Rows(-1)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return _dequantized(parts["weight"], parts["SCB"], dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        codes, peak = _rows(weight.half())
        require_finite(peak)
        return {
            "weight": codes,
            "SCB": peak,
            "weight_format": codes.new_zeros(weight.shape[:-2], dtype=torch.uint8),
        }

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        weight, peak = parts["weight"], parts["SCB"]

        def multiplied(x: Tensor) -> Tensor:
            return self._multiplied(x.reshape(-1, x.shape[-1]), weight, peak).view(*x.shape[:-1], shape[-2])

        return straight_through(x, multiplied, lambda: _dequantized(weight, peak, x.dtype))

    def _multiplied(self, x: Tensor, weight: Tensor, peak: Tensor) -> Tensor:
        half = x.half()
        if self.threshold > 0:
            outliers = half.abs() >= self.threshold
            columns = outliers.any(dim=0).nonzero().flatten()
            half = half.masked_fill(outliers, 0)
            # What the library does: a lone row keeps its other values, which are then zero anyway.
            codes, x_peak = _rows(half)
            codes = codes.index_fill(1, columns, 0)
        else:
            columns = None
            codes, x_peak = _rows(half)
        y = _integer_product(codes, weight) * (x_peak[:, None] * peak) * _UNIT_SQUARED
        y = y.to(x.dtype)
        if columns is None or not len(columns):
            return y
        exact = _dequantized(weight[:, columns], peak, torch.float32).to(x.dtype)
        return y.addmm(x[:, columns], exact.T)


def _rows(half: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes of float16 rows (..., K), and the rows' largest magnitudes, float32 (...,)."""
    peak = half.abs().amax(-1).float()
    factor = torch.where(peak == 0, torch.zeros_like(peak), 127.0 / peak)
    return (half * factor[..., None]).round().to(torch.int8), peak


def _dequantized(weight: Tensor, peak: Tensor, dtype: torch.dtype) -> Tensor:
    made: Tensor = (weight * peak[..., None] * _UNIT).to(dtype)
    return made


def _integer_product(codes: Tensor, weight: Tensor) -> Tensor:
    """codes (M, K) times weight (N, K) transposed, exact, as float32 or int32 (M, N)."""
    if codes.device.type == "cpu" or (len(codes) > 16 and weight.shape[0] % 8 == weight.shape[1] % 8 == 0):
        return torch._int_mm(codes, weight.T)
    # CUDA's kernel has a least size. Products of K < 2^17 codes are exact in float64, never in float16.
    return F.linear(codes.double(), weight.double())
