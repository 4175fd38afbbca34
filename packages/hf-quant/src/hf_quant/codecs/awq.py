"""AWQ: eight 4-bit outputs to a word, or eight inputs, with a scale and a zero for each group of inputs.

W = scales * (q - z), zeros as they are stored (Lin et al., arXiv 2306.00978; layouts of AutoAWQ and llm-awq).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from hf_quant.affine import Integers, group_count, nearest_asymmetric, nearest_symmetric
from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.packing import pack_bits, unpack_bits

BITS = 4
PER_WORD = 8
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The output that each nibble of a word holds, lowest nibble first."""
PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""The nibble that holds each output."""

PARTS = (Part("qweight", "qweight"), Part("qzeros", "qzeros"), Part("scales", "scales"))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class AwqGemm:
    """Version "gemm": words along the output, `[K, N / 8]`, nibbles interleaved.

    interleaved: whether nibbles take turns as AWQ's kernels like them; Quark also writes them in order.
    symmetric: whether `quantize` puts zeros in the middle.
    signed: whether numbers are two's complements; zeros may then be left out.
    names: what a layer's numbers, zeros and scales are called.
    """

    group_size: int = 128
    interleaved: bool = True
    symmetric: bool = False
    signed: bool = False
    names: tuple[str, str, str] = ("qweight", "qzeros", "scales")
    bits: Literal[4] = 4

    @property
    def parts(self) -> tuple[Part, ...]:
        numbers, zeros, scales = self.names
        return (
            Part("qweight", numbers),
            Part("qzeros", zeros, required=not self.signed),
            Part("scales", scales),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, K, packed = stored["qweight"].shape
        return (*lead, packed * PER_WORD, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        groups = group_count(K, self.group_size)
        if N % PER_WORD:
            raise PackingError(f"{N} outputs do not fill words of {PER_WORD}")
        return {
            "qweight": Spec((*lead, K, N // PER_WORD), torch.int32),
            "qzeros": Spec((*lead, groups, N // PER_WORD), torch.int32),
            "scales": Spec((*lead, groups, N), torch.float16),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        words = Rows(-1, per=PER_WORD)
        return {"qweight": words, "qzeros": words, "scales": Rows(-1)}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        numbers = {
            name: self._in_order(unpack_bits(parts[name], BITS, shape[-2])).mT
            for name in ("qweight", "qzeros")
            if name in parts
        }
        if self.signed:
            numbers = {name: (q ^ 8).to(torch.int8) - 8 for name, q in numbers.items()}
        return Integers(q_NK=numbers["qweight"], scale_NG=parts["scales"].mT, zero_NG=numbers.get("qzeros"))

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        q_KN, zero = integers.q_NK.mT, integers.zero_NG
        assert zero is not None, "roundings give zeros"
        zero_GN = zero.mT.to(torch.uint8)
        if self.signed:
            q_KN, zero_GN = q_KN ^ 8, zero_GN ^ 8
        return {
            "qweight": pack_bits(self._taking_turns(q_KN), BITS),
            "qzeros": pack_bits(self._taking_turns(zero_GN), BITS),
            "scales": integers.scale_NG.mT.contiguous(),
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """Rounded to nearest; AWQ proper first scales channels by data, which `calibrate` does."""
        self.specs(tuple(weight.shape))
        nearest = nearest_symmetric if self.symmetric else nearest_asymmetric
        return self.assemble(nearest(weight, BITS, self.group_size, torch.float16))

    def _in_order(self, nibbles: Tensor) -> Tensor:
        return _chosen(nibbles, PLACES) if self.interleaved else nibbles

    def _taking_turns(self, columns: Tensor) -> Tensor:
        return _chosen(columns, ORDER) if self.interleaved else columns


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class AwqGemv:
    """Version "gemv": words along the input, `[N, K / 8]`, in order; zeros in rows of whole words."""

    group_size: int = 128
    bits: Literal[4] = 4

    @property
    def parts(self) -> tuple[Part, ...]:
        return PARTS

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, N, packed = stored["qweight"].shape
        return (*lead, N, packed * PER_WORD)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        width = self._zero_words(K)
        if K % PER_WORD:
            raise PackingError(f"{K} inputs do not fill words of {PER_WORD}")
        return {
            "qweight": Spec((*lead, N, K // PER_WORD), torch.int32),
            "qzeros": Spec((*lead, N, width), torch.int32),
            "scales": Spec((*lead, N, width * PER_WORD), torch.float16),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        return {"qweight": Rows(-2), "qzeros": Rows(-2), "scales": Rows(-2)}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        K = shape[-1]
        groups = group_count(K, self.group_size)
        return Integers(
            q_NK=unpack_bits(parts["qweight"], BITS, K),
            scale_NG=parts["scales"][..., :groups],
            zero_NG=unpack_bits(parts["qzeros"], BITS, groups),
        )

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        assert integers.zero_NG is not None, "this format has zeros"
        width = self._zero_words(integers.q_NK.shape[-1])
        unused = width * PER_WORD - integers.scale_NG.shape[-1]
        zeros, scales = (
            torch.nn.functional.pad(t, (0, unused))
            for t in (integers.zero_NG.to(torch.uint8), integers.scale_NG)
        )
        return {
            "qweight": pack_bits(integers.q_NK, BITS),
            "qzeros": pack_bits(zeros, BITS),
            "scales": scales,
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """Rounded to nearest."""
        self.specs(tuple(weight.shape))
        return self.assemble(nearest_asymmetric(weight, BITS, self.group_size, torch.float16))

    def _zero_words(self, K: int) -> int:
        """Words of zeros in each row: more than needed for small groups, as the kernel reads several at once."""
        least = -(-group_count(K, self.group_size) // PER_WORD)
        multiple = {64: 2, 32: 4}.get(self.group_size, 1)
        return -(-least // multiple) * multiple


def _chosen(columns: Tensor, order: tuple[int, ...]) -> Tensor:
    """Every eight columns in another order."""
    return torch.unflatten(columns, -1, (-1, PER_WORD))[..., list(order)].flatten(-2)
