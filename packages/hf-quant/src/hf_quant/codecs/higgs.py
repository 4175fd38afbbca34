"""HIGGS: groups rotated until they look normal, then rounded to a grid that is best for a normal distribution.

Source: Malinovskii et al., "Pushing the Limits of Large Language Model Quantization via the Linearity Theorem" (arXiv
2411.17525); the order of bits is that of the kernels of flute (`pack` in https://github.com/HanGuo97/flute), which
depends on a tile width P that checkpoints tell by the number of a kernel template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats import hadamard
from hf_quant.formats.checks import require_finite, require_multiple
from hf_quant.formats.normal_grids import normal_grid

_CHUNK = 1 << 14  # vectors looked up at a time

_THIRDS = (0, 3, 6, 9, 12, 1, 4, 7, 10, 13, 2, 5, 8, 11, 14, 15)
"""Three-bit codes: which of 16 columns comes next; ten codes to a word of 32 bits, the last two spread over three."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Higgs:
    """`bits` for each weight, in vectors of `p`; scales for `group` inputs; rotations of `hadamard` inputs.

    tile: the width P of the kernels' tiles, 32 or 64.
    dtype: of the scales and tables that `quantize` makes.
    """

    bits: int = 4
    p: int = 2
    group: int = 256
    hadamard: int = 512
    tile: int = 32
    dtype: torch.dtype = torch.float16

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(name, name) for name in ("weight", "scales", "tables", "tables2"))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        rows, K = stored["weight"].shape
        shape = (rows * 16 // self.bits, K)
        found, wanted = stored["scales"].shape, self.specs(shape)["scales"].shape
        if found != wanted:
            raise PackingError(
                f"scales of shape {list(found)} do not belong to {self.bits}-bit weights {list(shape)} in groups "
                f"of {self.group}",
                fix="correct bits and group_size in the quantization config",
            )
        return shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        if len(shape) != 2:
            raise PackingError(f"HIGGS packs matrices, and this weight has the shape {list(shape)}")
        N, K = shape
        require_multiple(K, self.hadamard, "the number of inputs")
        require_multiple(N, self.tile * 16 // (1 if self.bits == 3 else self.bits), "the number of outputs")
        levels = 2**self.bits
        return {
            "weight": Spec((N * self.bits // 16, K), torch.int16),
            "scales": Spec((N, K // self.group), self.dtype),
            "tables": Spec((levels,), self.dtype),
            "tables2": Spec((levels, levels, 2), torch.float16),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = shape
        codes_KN = unpack(parts["weight"], self.bits, self.tile)
        # The table's bits are those of the scales' dtype, whatever name they are saved under.
        table = parts["tables2"].contiguous().view(parts["scales"].dtype).float().view(-1, 2)
        pair = codes_KN[0::2].int() << self.bits | codes_KN[1::2].int()
        values = table.index_select(0, pair.T.flatten()).view(N, K)
        scaled = values.unflatten(1, (-1, self.group)) * parts["scales"].float()[..., None]
        return hadamard.rotate(scaled.flatten(1), self.hadamard).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        self.specs(tuple(weight.shape))
        rotated = hadamard.rotate(weight, self.hadamard).unflatten(1, (-1, self.hadamard))
        # Rotation keeps lengths: divided by its root mean square each group has unit variance.
        size = rotated.norm(dim=-1) / sqrt(self.hadamard)
        require_finite(size)
        normal = rotated / torch.where(size > 0, size, 1.0)[..., None]
        grid = normal_grid(self.p, 2 ** (self.p * self.bits)).to(weight.device, self.dtype)
        found = _nearest(normal.reshape(-1, self.p), grid.float()).view(len(weight), -1)
        mask = 2**self.bits - 1
        codes = found if self.p == 1 else torch.stack((found >> self.bits, found & mask), dim=-1).flatten(1)
        levels = 2**self.bits
        if self.p == 1:
            tables = grid.view(-1)
            tables2 = torch.cartesian_prod(tables, tables)
        else:
            tables, tables2 = torch.arange(levels, dtype=self.dtype, device=weight.device), grid
        return {
            "weight": pack(codes.T.contiguous(), self.bits, self.tile),
            "scales": size.to(self.dtype).repeat_interleave(self.hadamard // self.group, dim=1),
            "tables": tables,
            "tables2": tables2.contiguous().view(levels, levels, 2).view(torch.float16),
        }


def tile_of_template(bits: int, template: int) -> int:
    """The tile width of the kernel template that a checkpoint's tune_metadata names."""
    period, wide = (48, 16) if bits == 4 else (12, 4)
    return 64 if template % period < wide else 32


def template_of_tile(bits: int, tile: int) -> int:
    """The first template with tiles of this width."""
    return 0 if tile == 64 else 16 if bits == 4 else 4


def _nearest(x: Tensor, grid: Tensor) -> Tensor:
    """The number of the nearest point for each row, int32."""
    half = grid.square().sum(1) / 2
    found = [(part @ grid.T - half).argmax(1).int() for part in x.split(_CHUNK)]
    return torch.cat(found)


def unpack(packed: Tensor, bits: int, tile: int) -> Tensor:
    """Codes uint8 (K, N) of int16 words (N * bits / 16, K)."""
    words = packed.T.int() & 0xFFFF
    return _unpack_thirds(words, tile) if bits == 3 else _unpack_halves(words, bits, tile)


def pack(codes_KN: Tensor, bits: int, tile: int) -> Tensor:
    """The inverse of `unpack`."""
    words = _pack_thirds(codes_KN, tile) if bits == 3 else _pack_halves(codes_KN, bits, tile)
    packed: Tensor = words.to(torch.int16).T.contiguous()
    return packed


def _unpack_halves(words: Tensor, bits: int, tile: int) -> Tensor:
    """A word has the codes of c columns, `tile` apart, of two rows: the even row has half of the columns."""
    K, c = len(words), 16 // bits
    shifts = torch.arange(c, device=words.device) * bits
    fields = (words[..., None] >> shifts) & (2**bits - 1)
    # [row pair, half, tiles, P, column of the half, row] with rows the wrong way round
    fields = fields.view(K // 2, 2, -1, tile, c // 2, 2).flip(-1)
    codes: Tensor = fields.permute(0, 5, 2, 1, 4, 3).reshape(K, -1).to(torch.uint8)
    return codes


def _pack_halves(codes: Tensor, bits: int, tile: int) -> Tensor:
    K, c = len(codes), 16 // bits
    fields = codes.int().view(K // 2, 2, -1, 2, c // 2, tile).permute(0, 3, 2, 5, 4, 1).flip(-1)
    shifts = torch.arange(c, device=codes.device) * bits
    return (fields.reshape(K, -1, c) << shifts).sum(-1)


def _unpack_thirds(words: Tensor, tile: int) -> Tensor:
    """Two rows of 16 columns make 32 codes, in three words of 32 bits whose halves lie in two rows."""
    K = len(words)
    third = words.shape[1] // 3
    first = words[:, :third].view(K // 2, 2, -1, 1, tile)
    others = words[:, third:].view(K // 2, 2, -1, 2, tile)
    halves = torch.cat((first, others), dim=3).transpose(3, 4).long()
    word = halves[:, 0] | (halves[:, 1] << 16)  # [row pair, tiles, P, 3]
    shifts = torch.arange(10, device=words.device) * 3
    fields = ((word[..., None] >> shifts) & 7).flatten(-2)
    rest = (word >> 30) & 3
    rest = rest[..., 0] | (rest[..., 1] << 2) | (rest[..., 2] << 4)
    fields = torch.cat((fields, (rest & 7)[..., None], (rest >> 3)[..., None]), dim=-1)
    fields = fields.unflatten(-1, (16, 2)).flip(-1)  # [row pair, tiles, P, column, row]
    columns = torch.empty_like(fields)
    columns[..., list(_THIRDS), :] = fields
    return columns.permute(0, 4, 1, 3, 2).reshape(K, -1).to(torch.uint8)


def _pack_thirds(codes: Tensor, tile: int) -> Tensor:
    K = len(codes)
    columns = codes.long().view(K // 2, 2, -1, 16, tile).permute(0, 2, 4, 3, 1)
    fields = columns[..., list(_THIRDS), :].flip(-1).flatten(-2)
    rest = fields[..., 30] | (fields[..., 31] << 3)
    shifts = torch.arange(10, device=codes.device) * 3
    word = (fields[..., :30].unflatten(-1, (3, 10)) << shifts).sum(-1)
    word |= torch.stack((rest & 3, (rest >> 2) & 3, rest >> 4), dim=-1) << 30
    halves = torch.stack((word & 0xFFFF, word >> 16), dim=1).transpose(3, 4)  # [row pair, half, tiles, 3, P]
    first, others = halves[..., 0, :].reshape(K, -1), halves[..., 1:, :].reshape(K, -1)
    return torch.cat((first, others), dim=1)
