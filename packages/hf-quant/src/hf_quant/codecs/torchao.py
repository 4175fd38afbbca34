"""torchao's tensors: integers with scales for groups, 8-bit floats, and 4-bit numbers in two layouts.

W = (qdata - zero_point) * scale, in groups of neighbouring inputs; plain 4-bit tensors store q * scale + zero_point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

from hf_quant.affine import Integers, group_count
from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats import fp8
from hf_quant.formats.checks import require_finite
from hf_quant.packing import pack_bits, unpack_bits

QDATA = Part("qdata", "_weight_qdata")
SCALE = Part("scale", "_weight_scale")
ZERO = Part("zero_point", "_weight_zero_point")
SCALE_AND_ZERO = Part("scale_and_zero", "_weight_scale_and_zero")
INPUT_SCALE = Part("act_pre_scale", "_weight_act_pre_scale", required=False, written=False)
PARTS = (QDATA, SCALE, ZERO, SCALE_AND_ZERO, INPUT_SCALE)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TorchAoIntegers:
    """`Int8Tensor` and `IntxUnpackedToInt8Tensor`: a byte for each number, of `bits` bits.

    group_size: inputs per scale; -1 is a row. scales: the element type that scales are made in.
    """

    bits: int = 8
    group_size: int = -1
    scales: torch.dtype = torch.float32

    @property
    def parts(self) -> tuple[Part, ...]:
        return (QDATA, SCALE, ZERO)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return stored["qdata"].shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        groups = (*shape[:-1], group_count(shape[-1], self.group_size))
        return {
            "qdata": Spec(shape, torch.int8),
            "scale": Spec(groups, self.scales),
            "zero_point": Spec(groups, torch.int8),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        return {"qdata": Rows(-2), "scale": Rows(-2), "zero_point": Rows(-2)}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        return Integers(q_NK=parts["qdata"], scale_NG=parts["scale"], zero_NG=parts["zero_point"])

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        zero = integers.zero_NG
        zero = torch.zeros_like(integers.scale_NG) if zero is None else zero
        return {
            "qdata": integers.q_NK.to(torch.int8),
            "scale": integers.scale_NG,
            "zero_point": zero.to(torch.int8),
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """Symmetric: the greatest magnitude lies half a step within the range."""
        grouped = torch.unflatten(weight, -1, (group_count(weight.shape[-1], self.group_size), -1))
        require_finite(grouped.abs().amax())
        half = 2 ** (self.bits - 1)
        scale = grouped.abs().amax(-1).to(self.scales) / (half - 0.5)
        scale = scale.clamp(min=torch.finfo(self.scales).eps)
        q = torch.round(grouped.to(self.scales) * (1.0 / scale)[..., None]).clamp(-half, half - 1)
        return self.assemble(Integers(q_NK=q.to(torch.int8).view(weight.shape), scale_NG=scale))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TorchAoFloat8:
    """`Float8Tensor`: 8-bit floats (E4M3) with a scale for each row, or one for the weight."""

    by_row: bool = True

    @property
    def parts(self) -> tuple[Part, ...]:
        return (QDATA, SCALE)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return stored["qdata"].shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, _ = shape
        scales = (*lead, N if self.by_row else 1, 1)
        return {"qdata": Spec(shape, torch.float8_e4m3fn), "scale": Spec(scales, torch.float32)}

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        return {"qdata": Rows(-2), "scale": Rows(-2)} if self.by_row else {"qdata": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return fp8.dequantize(parts["qdata"], parts["scale"], None, dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        if self.by_row:
            codes, scale = fp8.quantize_rows(weight)
        else:
            codes, scale = fp8.quantize_tensor(weight)
            scale = scale[..., None, None]
        return {"qdata": codes, "scale": scale}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TorchAoInt4:
    """`Int4Tensor`: two signed 4-bit numbers to a byte, the even input lower; W = q * scale + zero_point."""

    group_size: int = 128
    bits: Literal[4] = 4

    @property
    def parts(self) -> tuple[Part, ...]:
        return (QDATA, SCALE, ZERO, INPUT_SCALE)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, half = stored["qdata"].shape
        return (*lead, 2 * half)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        groups = Spec((*lead, group_count(K, self.group_size), N), torch.bfloat16)
        return {
            "qdata": Spec((*lead, N, K // 2), torch.int8),
            "scale": groups,
            "zero_point": groups,
            "act_pre_scale": Spec((*lead, K), torch.bfloat16),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        return {"qdata": Rows(-2), "scale": Rows(-1), "zero_point": Rows(-1)}

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        nibbles = unpack_bits(parts["qdata"], 4, shape[-1])
        return Integers(
            q_NK=((nibbles ^ 8).to(torch.int8) - 8),
            scale_NG=parts["scale"].mT,
            shift_NG=parts["zero_point"].mT,
            input_K=parts.get("act_pre_scale"),
        )

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        shift = integers.shift_NG
        shift = torch.zeros_like(integers.scale_NG) if shift is None else shift
        return {
            "qdata": pack_bits(integers.q_NK.to(torch.uint8) & 15, 4, torch.int8),
            "scale": integers.scale_NG.mT.contiguous(),
            "zero_point": shift.mT.contiguous(),
        }

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return self.integers(parts, shape).values(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """From least to greatest value of each group, in fifteen steps."""
        scale, middle, q = _fifteen_steps(weight, self.group_size)
        return self.assemble(
            Integers(
                q_NK=(q - 8).to(torch.int8).view(weight.shape),
                scale_NG=scale.to(torch.bfloat16),
                shift_NG=middle.to(torch.bfloat16),
            )
        )


OUTPUTS, INPUTS, WIDE_INPUTS = 8, 16, 1024
"""What the tile-packed layout pads outputs and inputs to: multiples of 8 and of 1024."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TorchAoTiles:
    """`Int4TilePackedTo4dTensor`: words of eight 4-bit numbers as tensor cores take them; W = (q - 8) * scale + zero.

    sizes: N and K, which are padded in the tensors.
    """

    sizes: tuple[int, int]
    group_size: int = 128

    @property
    def parts(self) -> tuple[Part, ...]:
        return (QDATA, SCALE_AND_ZERO)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return self.sizes

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        N, K = self._padded(shape)
        return {
            "qdata": Spec((N // OUTPUTS, K // (8 * INPUTS), 32, 4), torch.int32),
            "scale_and_zero": Spec((K // self.group_size, N, 2), torch.bfloat16),
        }

    def rows(self, shape: Shape) -> None:
        return None  # words hold numbers of eight outputs, and outputs are padded

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = self._padded(shape)
        words = unpack_bits(parts["qdata"].reshape(-1, 1), 4, 8)[:, list(_TURNS)]
        rows, columns = _tile_places(N, K, words.device)
        q_NK = words.new_zeros(N, K)
        q_NK[rows, columns] = words
        scale, zero = parts["scale_and_zero"].unbind(-1)
        signed = q_NK.to(torch.int8) - 8
        whole = Integers(q_NK=signed, scale_NG=scale.mT, shift_NG=zero.mT).values(dtype)
        return whole[: shape[0], : shape[1]].contiguous()

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """From least to greatest value of each group, in fifteen steps; what is padded is zero."""
        if weight.ndim != 2:
            raise PackingError("tiles hold one matrix, not one for each expert")
        N, K = self._padded(tuple(weight.shape))
        padded = torch.nn.functional.pad(weight, (0, K - weight.shape[1], 0, N - weight.shape[0]))
        scale, middle, q = _fifteen_steps(padded, self.group_size)
        rows, columns = _tile_places(N, K, weight.device)
        turned = torch.empty(rows.shape, dtype=torch.uint8, device=weight.device)
        turned[:, list(_TURNS)] = q.to(torch.uint8).view(N, K)[rows, columns]
        words = pack_bits(turned, 4).view(N // OUTPUTS, K // (8 * INPUTS), 32, 4)
        both = torch.stack((scale.mT, middle.mT), -1).to(torch.bfloat16).contiguous()
        return {"qdata": words, "scale_and_zero": both}

    def _padded(self, shape: Shape) -> tuple[int, int]:
        N, K = shape[-2:]
        return -(-N // OUTPUTS) * OUTPUTS, -(-K // WIDE_INPUTS) * WIDE_INPUTS


_TURNS: Final = (0, 4, 1, 5, 2, 6, 3, 7)
"""The nibble of a word that holds each of its eight numbers."""


def _tile_places(N: int, K: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The output and the input of each of the eight numbers of each word, (words, 8)."""
    tiles, wide, lanes, pairs = torch.meshgrid(
        *(torch.arange(n, device=device) for n in (N // OUTPUTS, K // (8 * INPUTS), 32, 4)), indexing="ij"
    )
    rows = (tiles * OUTPUTS + lanes // 4).reshape(-1, 1).expand(-1, 8)
    first = (wide * 8 * INPUTS + 2 * INPUTS * pairs + 2 * (lanes % 4)).reshape(-1, 1)
    steps = torch.tensor([0, 1, 8, 9, 16, 17, 24, 25], device=device)
    return rows, first + steps


def _fifteen_steps(weight: Tensor, group_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scales, values of step eight, and steps (0 to 15) of each group."""
    grouped = torch.unflatten(weight, -1, (group_count(weight.shape[-1], group_size), -1))
    low, high = grouped.amin(-1, keepdim=True), grouped.amax(-1, keepdim=True)
    require_finite(high - low)
    scale = (high - low).clamp(min=1e-6) / 15
    q = ((grouped - low) / scale).round().clamp(0, 15)
    return scale.squeeze(-1), (low + scale * 8).squeeze(-1), q
