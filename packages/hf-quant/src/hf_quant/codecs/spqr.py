"""SpQR: 16 x 16 tiles of 3-bit weights, whose scales and zeros are 3-bit numbers too, and sparse outliers.

Source: Dettmers et al., "SpQR: A Sparse-Quantized Representation for Near-Lossless LLM Weight Compression" (arXiv
2306.03078), and the layout of the library spqr_quant. A row of a tile is one 64-bit word, lowest bits first: scale,
zero, 16 weights, and a byte of the tile's four float16 by which scales and zeros are unpacked themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import CalibrationNeededError, PackingError

TILE = 16
_BITS = 3
_SECOND_ORDER_AT = _BITS * (TILE + 2)
_ROWS_PER_BYTE = 2


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SpQR:
    """The layer's shape, and how long its lists are: the outliers' and that of the inputs' order."""

    shape_NK: tuple[int, int]
    outliers: int
    row_offsets: int
    permutation: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        names = ("dense_weights", "row_offsets", "col_vals")
        return tuple(Part(name, name) for name in (*names, *(("in_perm",) if self.permutation else ())))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        specs = self.specs(self.shape_NK)
        for name, part in stored.items():
            if part.shape != specs[name].shape:
                raise PackingError(
                    f"{name} has the shape {list(part.shape)}, and a weight {list(self.shape_NK)} needs "
                    f"{list(specs[name].shape)}",
                    fix="correct the layer's entries under shapes in the quantization config",
                )
        return self.shape_NK

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        N, K = shape
        tiles = -(-N // TILE) * -(-K // TILE)
        if self.row_offsets not in (N + 1, -(-N // TILE) + 1):
            raise PackingError(
                f"{self.row_offsets} row offsets are neither one for each of {N} rows nor for each 16 of them",
                fix="correct the layer's entries under shapes in the quantization config",
            )
        return {
            "dense_weights": Spec((tiles * TILE,), torch.int64),
            "row_offsets": Spec((self.row_offsets,), torch.int32),
            "col_vals": Spec((self.outliers,), torch.int32),
            "in_perm": Spec((self.permutation,), torch.int32),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = shape
        words = parts["dense_weights"].view(-(-N // TILE), -(-K // TILE), TILE)
        dense = unpack_tiles(words).permute(0, 2, 1, 3).reshape(words.shape[0] * TILE, -1)[:N, :K].float()
        if self.outliers:
            row, column, value = unpack_outliers(parts["row_offsets"], parts["col_vals"], N)
            # Padding of interleaved lists is zeros, whichever place they are added to.
            dense = dense.index_put((row, column), value, accumulate=True)
        # The format's arithmetic is that of float16.
        weight = dense.half()
        if self.permutation:
            pairs = parts["in_perm"].long() & 0xFFFFFFFF
            order = torch.stack((pairs & 0xFFFF, pairs >> 16), dim=1).flatten()
            weight = torch.empty_like(weight).index_copy(1, order, weight)
        return weight.to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        raise CalibrationNeededError(
            "SpQR finds outliers by second derivatives of a layer's error",
            fix="load a checkpoint that was quantized already, or choose a method that needs no data",
        )


def unpack_tiles(words: Tensor) -> Tensor:
    """Tiles (..., 16) of words to float16 weights (..., 16, 16)."""
    shifts = torch.arange(TILE + 2, device=words.device) * _BITS
    fields = ((words[..., None] >> shifts) & 7).half()
    # Every second row of a tile brings one of eight bytes.
    byte = (words[..., ::_ROWS_PER_BYTE] >> _SECOND_ORDER_AT) & 0xFF
    halves = byte.to(torch.uint8).view(torch.float16)
    scale_scale, zero_scale, scale_zero, zero_zero = halves[..., None].unbind(-2)
    scale = scale_scale * (fields[..., 0] - scale_zero)
    zero = zero_scale * (fields[..., 1] - zero_zero)
    made: Tensor = scale[..., None] * (fields[..., 2:] - zero[..., None])
    return made


def unpack_outliers(row_offsets: Tensor, col_vals: Tensor, N: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns (int64) and values (float32) of the outliers.

    The lists are those of single rows, or of 16 rows in turn, with zeros where a row has no more.
    """
    counts = row_offsets.diff().long()
    line = torch.arange(len(counts), device=col_vals.device).repeat_interleave(counts)
    if len(row_offsets) == N + 1:
        row = line
    else:
        row = line * TILE + torch.arange(len(col_vals), device=col_vals.device) % TILE
    column = col_vals.long() & 0xFFFF
    value = (col_vals >> 16).to(torch.int16).view(torch.float16).float()
    kept = row < N
    return row[kept], column[kept], value[kept]
