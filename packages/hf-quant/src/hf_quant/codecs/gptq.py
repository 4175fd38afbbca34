"""GPTQ: integers packed along the input, a scale and a zero for each group, groups in any order of inputs.

W[n, k] = scales[g, n] * (q[k, n] - z[g, n]) with g = g_idx[k]. Files of the first version store z - 1, modulo
2^bits, field by field (Frantar et al., arXiv 2210.17323; layouts of AutoGPTQ and GPTQModel).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import final

import torch
from torch import Tensor

from hf_quant.affine import Integers, group_count, nearest_asymmetric, nearest_symmetric
from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.packing import WORD, pack_bits, unpack_bits, words


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Gptq:
    """GPTQ's layout.

    group_size: inputs per scale; -1 is all of them.
    zero_offset: 1 for the first version of the format, which stores zeros less one; 0 for the second.
    symmetric: whether `quantize` puts zeros in the middle; reading does not need to know.
    """

    bits: int = 4
    group_size: int = 128
    zero_offset: int = 1
    symmetric: bool = True

    @property
    def parts(self) -> tuple[Part, ...]:
        return (
            Part("qweight", "qweight"),
            Part("qzeros", "qzeros"),
            Part("scales", "scales"),
            Part("g_idx", "g_idx", required=False),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, packed, N = stored["qweight"].shape
        return (*lead, N, packed * WORD // self.bits)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        groups = group_count(K, self.group_size)
        for size in (N, K):
            if size * self.bits % WORD:
                raise PackingError(f"{size} values of {self.bits} bits do not fill words of {WORD} bits")
        return {
            "qweight": Spec((*lead, words(K, self.bits), N), torch.int32),
            "qzeros": Spec((*lead, groups, words(N, self.bits)), torch.int32),
            "scales": Spec((*lead, groups, N), torch.float16),
            "g_idx": Spec((*lead, K), torch.int32),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        common = gcd(self.bits, WORD)
        zeros = Rows(-1, per=WORD // common, each=self.bits // common)
        return {"qweight": Rows(-1), "scales": Rows(-1), "qzeros": zeros}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        N, K = shape[-2:]
        q_NK = unpack_bits(parts["qweight"].mT, self.bits, K)
        zero_GN = unpack_bits(parts["qzeros"], self.bits, N)
        zero_GN = (zero_GN + self.zero_offset) & ((1 << self.bits) - 1)
        return Integers(
            q_NK=q_NK, scale_NG=parts["scales"].mT, zero_NG=zero_GN.mT, group_K=parts.get("g_idx")
        )

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        assert integers.zero_NG is not None, "this format has zeros"
        zero_GN = (integers.zero_NG.mT.to(torch.int32) - self.zero_offset) & ((1 << self.bits) - 1)
        *lead, _, K = integers.q_NK.shape
        g_idx = integers.group_K
        if g_idx is None:
            g_idx = torch.arange(K, device=zero_GN.device) // (K // zero_GN.shape[-2])
            g_idx = g_idx.expand(*lead, K)
        return {
            "qweight": pack_bits(integers.q_NK, self.bits).mT.contiguous(),
            "qzeros": pack_bits(zero_GN, self.bits),
            "scales": integers.scale_NG.mT.contiguous(),
            "g_idx": g_idx.to(torch.int32).contiguous(),
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """Rounded to nearest; GPTQ proper chooses roundings with data and hands them to `assemble`."""
        self.specs(tuple(weight.shape))
        nearest = nearest_symmetric if self.symmetric else nearest_asymmetric
        return self.assemble(nearest(weight, self.bits, self.group_size, torch.float16))
