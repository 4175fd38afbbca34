"""compressed-tensors' integers and 8-bit floats: packed words, plain bytes, with scales for the weight, rows, groups
or blocks.

W = (q - zero) * scale. Words hold q + 2^(bits-1), so that it is unsigned; versions before 0.12 left the highest bits
of words unused where `bits` does not divide 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Literal, final

import torch
from torch import Tensor

from hf_quant.affine import Integers, group_count, nearest_asymmetric, nearest_symmetric
from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats import fp8
from hf_quant.packing import WORD, pack_bits, pack_fields, unpack_bits, unpack_fields, words

Packing = Literal["stream", "fields", "bytes"]
"""Bits without gaps, whole values in each word, or a byte for each."""

INPUTS = (
    Part("input_scale", "input_scale", required=False, written=False),
    Part("input_zero_point", "input_zero_point", required=False, written=False),
)
"""What a checkpoint may bring for activations. It is kept; they are not rounded where that saves nothing."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CompressedIntegers:
    """Formats "pack-quantized", "int-quantized" and "naive-quantized".

    group_size: inputs per scale; -1 is a row, 0 the whole weight.
    scales: the element type that scales are made in.
    """

    bits: int = 4
    group_size: int = 128
    symmetric: bool = True
    packing: Packing = "stream"
    scales: torch.dtype = torch.float32

    @property
    def parts(self) -> tuple[Part, ...]:
        zero = Part(
            "weight_zero_point", "weight_zero_point", required=not self.symmetric, written=not self.symmetric
        )
        order = Part("weight_g_idx", "weight_g_idx", required=False, written=False)
        scale = Part("weight_scale", "weight_scale")
        if self.packing == "bytes":
            return (Part("weight", "weight"), scale, zero, order, *INPUTS)
        shape = Part("weight_shape", "weight_shape")
        return (Part("weight_packed", "weight_packed"), scale, shape, zero, order, *INPUTS)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        if self.packing == "bytes":
            return stored["weight"].shape
        *lead, _ = stored["weight_packed"].shape
        K = int(stored["weight_shape"].read().flatten()[-1])
        return (*lead, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        scales = self._scales(shape)
        made = {
            "weight_scale": Spec(scales, self.scales),
            "weight_g_idx": Spec((*lead, K), torch.int32),
            "input_scale": Spec((*lead, 1), torch.float32),
            "input_zero_point": Spec((*lead, 1), torch.int8),
        }
        if self.packing == "bytes":
            return made | {
                "weight": Spec(shape, torch.int8),
                "weight_zero_point": Spec(scales, torch.int8),
            }
        zeros = (*lead, self._words(N), scales[-1]) if self.group_size else scales
        return made | {
            "weight_packed": Spec((*lead, N, self._words(K)), torch.int32),
            "weight_shape": Spec((*lead, 2), torch.int64),
            "weight_zero_point": Spec(zeros, torch.int32 if self.group_size else torch.int8),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        row = Rows(-2)
        found = {"weight": row, "weight_packed": row}
        if self.group_size:
            found |= {"weight_scale": row, "weight_zero_point": row}
            if self.packing != "bytes":
                found["weight_zero_point"] = self._packed_rows()
        return found

    def restated(self, parts: Parts, shape: Shape) -> Mapping[str, Tensor]:
        if self.packing == "bytes":
            return {}
        device = parts["weight_shape"].device
        sizes = torch.tensor(shape[-2:], dtype=torch.int64, device=device)
        return {"weight_shape": sizes.expand(*shape[:-2], 2).contiguous()}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        *lead, N, K = shape
        scale, zero = parts["weight_scale"], parts.get("weight_zero_point")
        if self.packing == "bytes":
            q = parts["weight"]
        else:
            q = self._unpack(parts["weight_packed"], K)
            if zero is not None and self.group_size:
                zero = self._unpack(zero.mT, N).mT
            elif zero is not None:
                zero = zero.to(torch.int16) + 2 ** (self.bits - 1)
            else:
                zero = torch.full_like(scale, 2 ** (self.bits - 1))
        if not self.group_size:
            scale = scale.reshape(*lead, 1, 1).expand(*lead, N, 1)
            zero = None if zero is None else zero.reshape(*lead, 1, 1).expand(*lead, N, 1)
        return Integers(q_NK=q, scale_NG=scale, zero_NG=zero, group_K=parts.get("weight_g_idx"))

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        q, scale, zero = integers.q_NK, integers.scale_NG, integers.zero_NG
        assert zero is not None, "numbers are made unsigned, with a zero in the middle"
        half = 2 ** (self.bits - 1)
        if not self.group_size:
            scale, zero = scale[..., 0, :], zero[..., 0, :]
        made = {"weight_scale": scale.contiguous()}
        if integers.group_K is not None:
            made["weight_g_idx"] = integers.group_K.to(torch.int32)
        if self.packing == "bytes":
            made["weight"] = (q.to(torch.int16) - half).to(torch.int8)
            signed = (zero.to(torch.int16) - half).to(torch.int8)
            return made if self.symmetric else made | {"weight_zero_point": signed.contiguous()}
        made["weight_packed"] = self._pack(q)
        made["weight_shape"] = torch.tensor(q.shape[-2:]).expand(*q.shape[:-2], 2).contiguous()
        if not self.symmetric and self.group_size:
            made["weight_zero_point"] = self._pack(zero.to(torch.uint8).mT).mT.contiguous()
        elif not self.symmetric:
            made["weight_zero_point"] = (zero.to(torch.int16) - half).to(torch.int8)
        return made

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        self.specs(tuple(weight.shape))
        nearest = nearest_symmetric if self.symmetric else nearest_asymmetric
        if self.group_size:
            return self.assemble(nearest(weight, self.bits, self.group_size, self.scales))
        *lead, N, K = weight.shape
        whole = nearest(weight.reshape(*lead, 1, N * K), self.bits, -1, self.scales)
        assert whole.zero_NG is not None, "both roundings give zeros"
        return self.assemble(
            Integers(q_NK=whole.q_NK.reshape(weight.shape), scale_NG=whole.scale_NG, zero_NG=whole.zero_NG)
        )

    def _scales(self, shape: Shape) -> Shape:
        *lead, N, K = shape
        return (*lead, N, group_count(K, self.group_size)) if self.group_size else (*lead, 1)

    def _words(self, count: int) -> int:
        return -(-count // (WORD // self.bits)) if self.packing == "fields" else words(count, self.bits)

    def _packed_rows(self) -> Rows:
        if self.packing == "fields":
            return Rows(-2, per=WORD // self.bits)
        common = gcd(self.bits, WORD)
        return Rows(-2, per=WORD // common, each=self.bits // common)

    def _unpack(self, packed: Tensor, count: int) -> Tensor:
        return (unpack_fields if self.packing == "fields" else unpack_bits)(packed, self.bits, count)

    def _pack(self, values: Tensor) -> Tensor:
        return (pack_fields if self.packing == "fields" else pack_bits)(values, self.bits)


Strategy = Literal["tensor", "channel", "block"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CompressedFloats:
    """Formats "float-quantized" and "naive-quantized" of 8-bit floats (E4M3)."""

    strategy: Strategy = "tensor"
    block: tuple[int, int] = (128, 128)

    @property
    def parts(self) -> tuple[Part, ...]:
        zero = Part("weight_zero_point", "weight_zero_point", required=False, written=False)
        return (Part("weight", "weight"), Part("weight_scale", "weight_scale"), zero, *INPUTS)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        held = stored["weight"]
        if held.dtype != torch.float8_e4m3fn:
            raise PackingError(
                f"weights that should be 8-bit floats are {str(held.dtype).removeprefix('torch.')}",
                fix="correct quantization_config, or fetch the checkpoint again",
            )
        return held.shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, _ = shape
        by_strategy: Mapping[Strategy, Shape] = {
            "tensor": (*lead, 1),
            "channel": (*lead, N, 1),
            "block": fp8.grid(shape, self.block),
        }
        scales = by_strategy[self.strategy]
        return {
            "weight": Spec(shape, torch.float8_e4m3fn),
            "weight_scale": Spec(scales, torch.float32),
            "weight_zero_point": Spec(scales, torch.float8_e4m3fn),
            "input_scale": Spec((*lead, 1), torch.float32),
            "input_zero_point": Spec((*lead, 1), torch.float8_e4m3fn),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        match self.strategy:
            case "tensor":
                return {"weight": Rows(-2)}
            case "channel":
                return {"weight": Rows(-2), "weight_scale": Rows(-2), "weight_zero_point": Rows(-2)}
            case "block":
                blocks = Rows(-2, per=self.block[0])
                return {"weight": Rows(-2), "weight_scale": blocks, "weight_zero_point": blocks}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        scale = parts["weight_scale"]
        if self.strategy == "tensor":
            scale = scale.reshape(*shape[:-2], 1, 1)
        block = self.block if self.strategy == "block" else None
        return fp8.dequantize(parts["weight"], scale, block, dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        if self.strategy == "tensor":
            codes, scale = fp8.quantize_tensor(weight)
            return {"weight": codes, "weight_scale": scale.reshape(*weight.shape[:-2], 1)}
        if self.strategy == "channel":
            codes, scale = fp8.quantize_rows(weight)
        else:
            codes, scale = fp8.quantize_blocks(weight, self.block, "float")
        return {"weight": codes, "weight_scale": scale}
