"""Weights most of whose numbers are zero: the others with a bit mask of where they are, or in Marlin's 2:4 layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Final, Literal, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import CalibrationNeededError, PackingError
from hf_quant.packing import pack_bits, unpack_bits

BITMASK_PARTS = (
    Part("compressed", "compressed"),
    Part("bitmask", "bitmask"),
    Part("shape", "shape"),
    Part("row_offsets", "row_offsets"),
    Part("weight_scale", "weight_scale"),
)
MARLIN_PARTS = (
    Part("weight_packed", "weight_packed"),
    Part("scale_packed", "scale_packed"),
    Part("meta", "meta"),
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SparseBitmask:
    """compressed-tensors' "sparse-24-bitmask" and "sparse-bitmask": lossless, for weights that are sparse already.

    count: how many numbers there are where sparsity has no structure; -1 is two of every four.
    scales: what the numbers are multiplied by, where they are 8-bit floats themselves.
    dtype: of the numbers.
    """

    count: int = -1
    scales: Literal["none", "tensor", "channel"] = "none"
    dtype: torch.dtype = torch.bfloat16

    @property
    def parts(self) -> tuple[Part, ...]:
        wanted = ["compressed", "bitmask", "shape"]
        wanted += ["row_offsets"] if self.count >= 0 else []
        wanted += ["weight_scale"] if self.scales != "none" else []
        return tuple(part for part in BITMASK_PARTS if part.name in wanted)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        N, K = stored["shape"].read().flatten().tolist()
        return (N, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        structured = self.count < 0
        if structured and K % 4:
            raise PackingError(f"{K} inputs do not divide into fours, two of which are kept")
        return {
            "compressed": Spec((*lead, N, K // 2) if structured else (self.count,), self.dtype),
            "bitmask": Spec((*lead, N, -(-K // 8)), torch.uint8),
            "shape": Spec((*lead, 2, 1) if structured else (2,), torch.int64),
            "row_offsets": Spec((N,), torch.int64),
            "weight_scale": Spec((*lead, 1) if self.scales == "tensor" else (*lead, N, 1), torch.float32),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        if self.count >= 0:
            return None
        found = {"compressed": Rows(-2), "bitmask": Rows(-2)}
        return found | {"weight_scale": Rows(-2)} if self.scales == "channel" else found

    def restated(self, parts: Parts, shape: Shape) -> Mapping[str, Tensor]:
        sizes = torch.tensor(shape[-2:], device=parts["shape"].device)
        return {"shape": sizes[:, None].expand(*shape[:-2], 2, 1).contiguous()}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        mask = unpack_bits(parts["bitmask"], 1, shape[-1]).bool()
        numbers = parts["compressed"].flatten().to(torch.promote_types(dtype, torch.float32))
        made = numbers.new_zeros(shape).masked_scatter_(mask, numbers)
        if self.scales != "none":
            scale = parts["weight_scale"]
            made *= scale if self.scales == "channel" else scale.reshape(*shape[:-2], 1, 1)
        return made.to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """The weight as it is: it must be sparse already. Raises PackingError."""
        if self.count >= 0 or self.scales != "none":
            raise CalibrationNeededError("sparse weights of this kind are made by pruning, with data")
        self.specs(tuple(weight.shape))
        fours = torch.unflatten(weight, -1, (-1, 4))
        if (dense := int(((fours != 0).sum(-1) > 2).sum())) > 0:
            raise PackingError(
                f"{dense} of {prod(fours.shape[:-1])} groups of four weights have more than two that are not zero",
                fix="prune the model first; this format loses nothing and so cannot drop weights",
            )
        kept = torch.zeros_like(fours, dtype=torch.bool)
        kept.scatter_(-1, fours.abs().topk(2, -1).indices, True)
        mask = kept.view(weight.shape)
        made = {
            "compressed": weight[mask].view(*weight.shape[:-1], weight.shape[-1] // 2),
            "bitmask": pack_bits(mask, 1, torch.uint8),
        }
        sizes = {"shape": torch.empty(0)}
        return made | dict(self.restated(sizes, tuple(weight.shape)))


TILE: Final = 16
META_TILE: Final = 64


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Marlin24:
    """compressed-tensors' "marlin-24": integers of a 2:4 sparse weight, in the order of Marlin's GPU kernel.

    Of every four inputs two are kept; `meta` says which, two bits each, in the order of CUTLASS's sparse product.
    """

    bits: int = 4
    group_size: int = 128

    @property
    def parts(self) -> tuple[Part, ...]:
        return MARLIN_PARTS

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return (stored["scale_packed"].shape[-1], stored["weight_packed"].shape[-2] * 2 * TILE)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        N, K = shape
        if N % META_TILE or K % (2 * TILE):
            raise PackingError(f"a weight {list(shape)} does not divide into Marlin's tiles of 64 x 32")
        groups = 1 if self.group_size == -1 else -(-K // self.group_size)
        return {
            "weight_packed": Spec((K // 2 // TILE, N * TILE * self.bits // 32), torch.int32),
            "scale_packed": Spec((groups, N), torch.float16),
            "meta": Spec((K // TILE // 2, 2 * N), torch.int16),
        }

    def rows(self, shape: Shape) -> None:
        return None  # tiles hold 64 outputs in the order of threads

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = shape
        kept = K // 2
        order = weight_order(self.bits).to(parts["meta"].device)
        stream = unpack_bits(parts["weight_packed"], self.bits, N * TILE).reshape(-1, order.numel())
        tiles = torch.empty_like(stream)
        tiles[:, order] = stream
        q_KN = tiles.view(kept // TILE, N // TILE, TILE, TILE).transpose(1, 2).reshape(kept, N)
        wide = torch.promote_types(dtype, torch.float32)
        q_NK = q_KN.mT.to(wide) - 2 ** (self.bits - 1)
        places = kept_places(parts["meta"], N, K)
        made = q_NK.new_zeros(N, K // 4, 4).scatter_(-1, places, q_NK.reshape(N, K // 4, 2)).view(N, K)
        scale_NG = self._scales(parts["scale_packed"], kept).mT.to(wide)
        grouped = torch.unflatten(made, -1, (scale_NG.shape[-1], -1))
        return grouped.mul_(scale_NG[..., None]).view(N, K).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        raise CalibrationNeededError(
            "marlin-24 weights are pruned and rounded with data, for one kind of GPU",
            fix="choose another format",
        )

    def _scales(self, packed: Tensor, kept: int) -> Tensor:
        if self.group_size == -1 or self.group_size >= kept:
            return packed  # one group: scales are in order
        order = torch.tensor([8 * i + j for i in range(8) for j in (0, 4, 1, 5, 2, 6, 3, 7)])
        rows = packed.reshape(-1, META_TILE)
        scales = torch.empty_like(rows)
        scales[:, order.to(packed.device)] = rows
        return scales.view(packed.shape)


@cache
def weight_order(bits: int) -> Tensor:
    """The number within a tile of 16 x 64 that each place of Marlin's stream holds (1024,)."""
    thread, j, block, r = torch.meshgrid(*map(torch.arange, (32, 4, 2, 4)), indexing="ij")
    column, quarter = thread // 4, thread % 4
    row = 2 * quarter + r % 2 + 8 * (r // 2)
    numbers = (TILE * row + column // 2 * 256 + 8 * (column % 2) + 4 * block + j).flatten()
    turns = [0, 2, 4, 6, 1, 3, 5, 7] if bits == 4 else [0, 2, 1, 3]
    return numbers.view(-1, len(turns))[:, turns].flatten()


def kept_places(meta: Tensor, N: int, K: int) -> Tensor:
    """Which two of each four inputs are kept, (N, K / 4, 2), from CUTLASS's order of 16-bit words."""
    columns = K // TILE
    row = torch.arange(N, device=meta.device)[:, None].expand(N, columns)
    column = torch.arange(columns, device=meta.device).expand(N, columns)
    moved = (
        row // META_TILE * META_TILE
        + row % 2 * 2
        + row % 8 // 4
        + row % 32 % 4 // 2 * 32
        + row % META_TILE // 8 * 4
    )
    swap = (moved % 2 == 0).long() * (column % 2) - (moved % 2) * (column % 2 == 0).long()
    moved, column = moved + swap, column - swap
    where = column // 2 * N * 2 + moved * 2 + column % 2
    words = meta.flatten()[where.flatten()].view(N, columns).to(torch.int32)
    shifts = torch.arange(0, 16, 2, dtype=torch.int32, device=meta.device)
    return ((words[..., None] >> shifts) & 3).long().view(N, K // 4, 2)
