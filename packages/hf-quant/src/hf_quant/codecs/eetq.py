"""EETQ: 8-bit columns with a scale each, in the order in which CUTLASS's mixed-type kernel reads them (sm75, sm80).

W[n, k] = q[n, k] * scale[n]. The kernel's order: inputs of each 16 permuted, outputs in pairs of columns
interleaved over 64 inputs, numbers made unsigned, and each four bytes in the order 0, 2, 1, 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

from hf_quant.affine import Integers
from hf_quant.codec import Part, Parts, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats.checks import require_finite

TILE = 64
INPUT_ORDER: Final = (0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15)
"""The input that each of 16 places holds."""
BYTE_ORDER: Final = (0, 2, 1, 3)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Eetq:
    """EETQ's layout, which serves one kind of GPU kernel; reading it back undoes the order."""

    bits: Literal[8] = 8

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part("weight", "weight"), Part("weight_scales", "weight_scales"))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, K, N = stored["weight"].shape
        return (*lead, N, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        for size, what in ((N, "outputs"), (K, "inputs")):
            if size % TILE:
                raise PackingError(f"{size} {what} are no multiple of {TILE}")
        return {"weight": Spec((*lead, K, N), torch.int8), "weight_scales": Spec((*lead, N), torch.float16)}

    def rows(self, shape: Shape) -> None:
        return None  # outputs take turns in the kernel's order

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        *lead, N, K = shape
        stream = parts["weight"].view(torch.uint8).reshape(*lead, -1, 4)[..., list(BYTE_ORDER)]
        signed = (stream.to(torch.int16) - 128).to(torch.int8)
        columns = signed.view(*lead, N // 2, K // TILE, 2, TILE).transpose(-3, -2).reshape(*lead, N, K)
        q_NK = torch.empty_like(columns)
        q_NK.view(*lead, N, -1, 16)[..., list(INPUT_ORDER)] = columns.view(*lead, N, -1, 16)
        return Integers(q_NK=q_NK, scale_NG=parts["weight_scales"][..., None])

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        *lead, N, K = integers.q_NK.shape
        columns = integers.q_NK.reshape(*lead, N, -1, 16)[..., list(INPUT_ORDER)]
        turns = columns.reshape(*lead, N // 2, 2, K // TILE, TILE).transpose(-3, -2)
        stream = (turns.to(torch.int16) + 128).to(torch.uint8).reshape(*lead, -1, 4)
        stream = stream[..., list(BYTE_ORDER)].contiguous()
        return {
            "weight": stream.view(torch.int8).reshape(*lead, K, N),
            "weight_scales": integers.scale_NG[..., 0].contiguous(),
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """Greatest magnitude over 128 as the scale; halves are rounded away from zero."""
        self.specs(tuple(weight.shape))
        exact = weight.float()
        require_finite(exact.abs().amax())
        scale = (exact.abs().amax(-1, keepdim=True) / 128).clamp_(
            min=torch.finfo(torch.float16).smallest_normal
        )
        steps = exact / scale
        q = (steps.abs() + 0.5).floor_().mul_(steps.sign()).clamp_(-128, 127).to(torch.int8)
        return self.assemble(Integers(q_NK=q, scale_NG=scale.to(torch.float16)))
