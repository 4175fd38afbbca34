"""SINQ: integers in groups, after rows and columns of each tile were brought to alike spread.

Source: Mueller et al., "SINQ: Sinkhorn-Normalized Quantization for Calibration-Free Low-Precision LLM Weights" (arXiv
2509.22944), and the layout of the library sinq. W = (code - zero) * scale, reshaped, * scale2 of its input; scales
and zeros may be 8-bit numbers themselves: x * s + m.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats.blockwise4 import LEVELS
from hf_quant.formats.checks import require_finite, require_multiple
from hf_quant.formats.sinkhorn import balanced, kurtosis

Levels = Literal["uniform", "nf4", "nf3"]

_NF3 = (
    -1.0,
    -0.5350227355957031,
    -0.2469314038753510,
    0.0,
    0.1833375245332718,
    0.3819939494132996,
    0.6229856610298157,
    1.0,
)
_SCALE_TILE = 32
_TAIL_KURTOSIS = 5.0  # with tails as heavy as this, balancing does more harm than good
_SMALLEST_SPAN = 1e-4
_PER_WORD: Mapping[int, tuple[int, torch.dtype]] = {
    8: (1, torch.uint8),
    6: (5, torch.int32),
    5: (6, torch.int32),
    4: (2, torch.uint8),
    3: (10, torch.int32),
    2: (4, torch.uint8),
    1: (8, torch.uint8),
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Sinq:
    """Settings as in the config, and what the library keeps in a file beside the weights.

    square: tiles of `group` rows and columns ("2D") instead of `group` columns of all rows ("1D").
    auxiliary: scales and zeros are 8-bit numbers.
    dtype: what the checkpoint's weights are calculated in.
    """

    shape_NK: tuple[int, int]
    bits: int = 4
    group: int = 64
    square: bool = False
    auxiliary: bool = True
    levels: Levels = "uniform"
    dtype: torch.dtype = torch.float32

    @property
    def parts(self) -> tuple[Part, ...]:
        names = [f"{name}.{part}" for name in ("scale", "zero") for part in ("x", "s", "m")]
        if not self.auxiliary:
            names = ["scale", "zero"]
        return (
            Part("W_q", "W_q"),
            *(Part(name.replace(".", "_"), f"meta.{name}") for name in names),
            Part("scale2", "meta.scale2"),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        specs = self.specs(self.shape_NK)
        for name, part in stored.items():
            if part.shape != specs[name].shape:
                raise PackingError(
                    f"{name} has the shape {list(part.shape)}, and {self.bits}-bit weights {list(self.shape_NK)} in "
                    f"groups of {self.group} need {list(specs[name].shape)}",
                    fix="correct nbits, group_size or tiling_mode, or the file of settings beside the weights",
                )
        return self.shape_NK

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        if len(shape) != 2:
            raise PackingError(f"SINQ packs matrices, and this weight has the shape {list(shape)}")
        N, K = shape
        require_multiple(K, self.group, "the number of inputs")
        if self.square:
            require_multiple(N, self.group, "the number of outputs")
        groups = N * K // self.group
        per_word, dtype = _PER_WORD[self.bits]
        made = {"W_q": Spec((-(-groups // per_word), self.group), dtype)}
        if self.auxiliary:
            require_multiple(groups, _SCALE_TILE, "the number of groups")
            few = Spec((1, groups // _SCALE_TILE), torch.float32)
            one = Spec((1, 1), torch.float32)
            made |= {"scale_x": Spec((_SCALE_TILE, groups // _SCALE_TILE), torch.uint8), "scale_s": few}
            made |= {"scale_m": few, "zero_x": Spec((groups, 1), torch.uint8), "zero_s": one, "zero_m": one}
        else:
            made |= dict.fromkeys(("scale", "zero"), Spec(self._scale_shape(shape), torch.float32))
        tiles = N * K // self.group**2
        return {**made, "scale2": Spec((tiles, 1, self.group) if self.square else (1, K), torch.float32)}

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = shape
        groups = N * K // self.group
        values = unpack_rows(parts["W_q"], self.bits)[:groups]
        scale, zero = self._scale("scale", parts, shape), self._scale("zero", parts, shape)
        if self.levels == "uniform":
            numbers = values.to(self.dtype)
        else:
            table = torch.tensor(LEVELS["nf4"] if self.levels == "nf4" else _NF3, dtype=scale.dtype)
            numbers = table.to(values.device)[values.long()]
        scale2 = parts["scale2"]
        if not self.square:
            made = ((numbers - zero) * scale).view(shape) * scale2
        else:
            down, across = N // self.group, K // self.group
            tiled = numbers.view(down, self.group, across, self.group)
            scale, zero = (
                part.view(down, across, self.group, 1).permute(0, 2, 1, 3) for part in (scale, zero)
            )
            made = (tiled - zero) * scale * scale2.view(down, across, 1, self.group).permute(0, 2, 1, 3)
        return made.reshape(shape).to(self.dtype).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.specs(tuple(weight.shape))
        wide = weight.float()
        require_finite(wide.abs().amax(-1))
        tiles = self._tiles(wide)
        columns, rows = tiles.new_ones(1), tiles.new_ones(1)
        if kurtosis(wide) <= _TAIL_KURTOSIS:
            tiles, columns, rows = balanced(tiles)
        codes, scale, zero = self._rounded(tiles)
        scale = scale * rows
        scale2 = columns.expand(len(tiles), 1, self.group)
        if not self.square:
            codes, scale, zero = (part.transpose(0, 1) for part in (codes, scale, zero))
            scale2 = scale2.reshape(1, -1)
        else:
            across = weight.shape[1] // self.group
            codes = codes.unflatten(0, (-1, across)).transpose(1, 2)
        made = {"W_q": pack_rows(codes.reshape(-1, self.group), self.bits), "scale2": scale2}
        if self.auxiliary:
            made["scale_x"], made["scale_s"], made["scale_m"] = _eight_bits(scale.reshape(_SCALE_TILE, -1))
            made["zero_x"], made["zero_s"], made["zero_m"] = _eight_bits(zero.reshape(-1, 1))
        else:
            made |= {"scale": scale, "zero": zero}
        return {name: value.reshape(specs[name].shape).contiguous() for name, value in made.items()}

    def _scale_shape(self, shape: Shape) -> Shape:
        N, K = shape
        return (N * K // self.group**2, self.group, 1) if self.square else (N * K // self.group, 1)

    def _scale(self, name: str, parts: Parts, shape: Shape) -> Tensor:
        if not self.auxiliary:
            return parts[name]
        made: Tensor = parts[f"{name}_x"] * parts[f"{name}_s"] + parts[f"{name}_m"]
        return made.view(self._scale_shape(shape))

    def _tiles(self, weight: Tensor) -> Tensor:
        """The weight as tiles that are balanced one by one, (tiles, rows, group)."""
        tiles: Tensor = weight.unflatten(1, (-1, self.group))
        if self.square:
            tiles = tiles.unflatten(0, (-1, self.group)).transpose(1, 2).flatten(0, 1)
        else:
            tiles = tiles.transpose(0, 1)
        return tiles

    def _rounded(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes of the tiles (uint8), and scales and zeros of their rows (tiles, rows, 1)."""
        if self.levels == "uniform":
            low, high = tiles.aminmax(dim=-1, keepdim=True)
            top = 2**self.bits - 1
            scale = (high - low).clamp(min=_SMALLEST_SPAN) / top
            zero = -torch.round(low / scale)
            return torch.round(tiles / scale + zero).clamp(0, top).to(torch.uint8), scale, zero
        mean = tiles.mean(-1, keepdim=True)
        scale = (tiles - mean).abs().amax(-1, keepdim=True).clamp(min=_SMALLEST_SPAN)
        zero = -mean / scale
        table = torch.tensor(LEVELS["nf4"] if self.levels == "nf4" else _NF3, device=tiles.device)
        codes = torch.bucketize((tiles / scale + zero).contiguous(), (table[1:] + table[:-1]) / 2)
        return codes.to(torch.uint8), scale, zero


def pack_rows(codes: Tensor, bits: int) -> Tensor:
    """Rows in equal pieces, the first piece in the highest bits of each word; zeros fill the last piece."""
    per_word, dtype = _PER_WORD[bits]
    padded = torch.nn.functional.pad(codes.to(dtype), (0, 0, 0, -len(codes) % per_word))
    packed = torch.zeros_like(padded[: len(padded) // per_word])
    for piece in padded.chunk(per_word):
        packed = (packed << bits) | piece if per_word > 1 else piece
    return packed


def unpack_rows(packed: Tensor, bits: int) -> Tensor:
    """The inverse of `pack_rows`, with what was filled in; uint8."""
    per_word, _ = _PER_WORD[bits]
    pieces = [(packed >> bits * i) & (2**bits - 1) for i in reversed(range(per_word))]
    return torch.cat(pieces).to(torch.uint8)


def _eight_bits(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Columns as 8-bit numbers, and their scales and least values."""
    least = x.amin(0, keepdim=True)
    scale = (x - least).amax(0, keepdim=True) / 255
    codes = torch.round((x - least) / torch.where(scale > 0, scale, 1.0)).clamp(0, 255)
    return codes.to(torch.uint8), scale, least
