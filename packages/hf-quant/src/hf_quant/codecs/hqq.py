"""HQQ: groups along either axis, zeros that are fractions, bits packed from the first dimension (Badri & Shaji 2023).

W = (q - zero) * scale in groups of neighbours: rows of W.reshape(-1, G) for axis 1, columns of W.reshape(G, -1) for
axis 0. Bytes hold rows of that matrix that lie far apart: the first part of the rows in the highest bits, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats.checks import require_finite

THREE_PER_WORD: Final = 10
"""How many 3-bit numbers an int32 holds."""
PACKINGS: Final[Mapping[int, str]] = {
    8: "8bit_u8",
    6: "8bit_u8",
    5: "8bit_u8",
    4: "4bit_u8",
    3: "3bit_32",
    2: "2bit_u8",
    1: "1bit_u8",
}
_NUMBERS = {
    "nbits": torch.int32,
    "group_size": torch.int32,
    "axis": torch.int32,
    "shape": torch.int64,
    "packing": torch.uint8,
    "unpack_view_dtype": torch.uint8,
    "compute_dtype": torch.uint8,
    "view_as_float": torch.uint8,
    "quant_scale": torch.uint8,
    "quant_zero": torch.uint8,
    "offload_meta": torch.uint8,
    "encoded_state_dict": torch.uint8,
    "stores_quant_config": torch.uint8,
    "channel_wise": torch.uint8,
    "optimize": torch.uint8,
    "round_zero": torch.uint8,
}
"""What the library writes beside the numbers: its settings, as tensors."""

SHRINK_POWER, SHRINK_STRENGTH, STEPS = 0.7, 10.0, 20
"""The norm by which outlying errors are told from the rest, which alone moves zeros, and how often that is done."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Hqq:
    """HQQ's layout.

    group_size: numbers per scale; 0 is all numbers of an output (axis 1) or of an input (axis 0).
    dtype: of scales and zeros when made, and the library's `compute_dtype`.
    as_float: whether the packed numbers are kept under that dtype.
    optimize: whether zeros are fitted when made; round_zero: whether they start as whole numbers.
    """

    bits: int = 4
    group_size: int = 64
    axis: int = 1
    dtype: torch.dtype = torch.float16
    as_float: bool = False
    optimize: bool = True
    round_zero: bool = True

    @property
    def parts(self) -> tuple[Part, ...]:
        numbers = (Part("W_q", "W_q"), Part("scale", "scale"), Part("zero", "zero"))
        return numbers + tuple(Part(name, name, required=False) for name in _NUMBERS)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        if "shape" not in stored:
            raise PackingError(
                "HQQ tensors without one that says the weight's shape",
                fix="save the checkpoint again with hqq 0.2 or later",
            )
        N, K = stored["shape"].read().tolist()
        return (*stored["scale"].shape[:-2], N, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        rows, columns = self._matrix(N, K)
        packed, storage = self._packed_rows(rows)
        width = columns
        if self.as_float:
            if columns * storage.itemsize % self.dtype.itemsize:
                raise PackingError(f"rows of {columns} packed numbers do not fill elements of {self.dtype}")
            width, storage = columns * storage.itemsize // self.dtype.itemsize, self.dtype
        scales = (rows, 1) if self.axis == 1 else (1, columns)
        lengths = {"shape": (2,), **{name: (len(v),) for name, v in self._texts().items()}}
        return {
            "W_q": Spec((*lead, packed, width), storage),
            "scale": Spec((*lead, *scales), self.dtype),
            "zero": Spec((*lead, *scales), self.dtype),
            **{n: Spec((*lead, *lengths.get(n, ())), dtype) for n, dtype in _NUMBERS.items()},
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None  # a byte holds numbers of rows that lie far apart

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = shape[-2:]
        rows, _ = self._matrix(N, K)
        packed = parts["W_q"]
        if self.as_float:
            packed = packed.view(torch.int32 if self.bits == 3 else torch.uint8)
        q = self._unpacked(packed)[..., :rows, :].to(torch.promote_types(dtype, torch.float32))
        return q.sub_(parts["zero"]).mul_(parts["scale"]).reshape(shape).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        *lead, N, K = weight.shape
        specs = self.specs(tuple(weight.shape))
        matrix = weight.float().reshape(*lead, *self._matrix(N, K))
        q, scale, zero = self._fitted(matrix)
        packed = self._packed(q.to(torch.uint8)).view(specs["W_q"].dtype)
        made = {"W_q": packed, "scale": (1.0 / scale).to(self.dtype), "zero": zero.to(self.dtype)}
        return made | self._described(weight.shape)

    def _matrix(self, N: int, K: int) -> tuple[int, int]:
        """The shape of the matrix whose rows (axis 1) or columns (axis 0) share a scale."""
        size = self.group_size or (K if self.axis == 1 else N)
        if N * K % size:
            raise PackingError(f"{N} x {K} numbers do not divide into groups of {size}")
        rows, columns = (N * K // size, size) if self.axis == 1 else (size, N * K // size)
        if self.bits in (4, 2, 1) and rows * self.bits % 8:
            raise PackingError(f"{rows} rows of {self.bits}-bit numbers do not fill bytes")
        return rows, columns

    def _packed_rows(self, rows: int) -> tuple[int, torch.dtype]:
        if self.bits == 3:
            return -(-rows // THREE_PER_WORD), torch.int32
        return (rows if self.bits > 4 else rows * self.bits // 8), torch.uint8

    def _unpacked(self, packed: Tensor) -> Tensor:
        if self.bits > 4:
            return packed
        count = THREE_PER_WORD if self.bits == 3 else 8 // self.bits
        mask = (1 << self.bits) - 1
        return torch.cat([(packed >> (self.bits * i)) & mask for i in reversed(range(count))], -2)

    def _packed(self, q: Tensor) -> Tensor:
        if self.bits > 4:
            return q
        count = THREE_PER_WORD if self.bits == 3 else 8 // self.bits
        q = q.to(torch.int32 if self.bits == 3 else torch.uint8)
        if rest := -q.shape[-2] % count:
            q = torch.cat((q, q.new_zeros(*q.shape[:-2], rest, q.shape[-1])), -2)
        pieces = q.chunk(count, -2)
        packed = torch.zeros_like(pieces[0])
        for i, piece in enumerate(pieces):
            packed |= piece << (self.bits * (count - 1 - i))
        return packed

    def _fitted(self, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers, inverse scales and zeros: from least to greatest, then zeros by half-quadratic splitting."""
        dim, top = (-1 if self.axis == 1 else -2), 2**self.bits - 1
        low, high = matrix.amin(dim, keepdim=True), matrix.amax(dim, keepdim=True)
        width = high - low
        require_finite(width)
        scale = torch.where(width.abs() <= 1e-4, torch.ones_like(width), top / width).clamp_(max=2e4)
        zero = -low * scale
        if self.round_zero:
            zero = zero.round()
        q = (matrix * scale + zero).round_().clamp_(0, top)
        if not self.optimize:
            return q, scale, zero
        best = torch.inf
        for _ in range(STEPS):
            q = (matrix * scale + zero).round_().clamp_(0, top)
            error = matrix - (q - zero) / scale
            size = error.abs()
            outlying = error.sign() * (size - size.pow(SHRINK_POWER - 1) / SHRINK_STRENGTH).clamp_(min=0)
            zero = (q - (matrix - outlying) * scale).mean(dim, keepdim=True)
            mean = float(size.mean())
            if mean >= best:
                break
            best = mean
        return (matrix * scale + zero).round_().clamp_(0, top), scale, zero

    def _texts(self) -> dict[str, bytes]:
        view = "int32" if self.bits == 3 else "uint8"
        return {
            "packing": PACKINGS[self.bits].encode(),
            "unpack_view_dtype": f"torch.{view}".encode(),
            "compute_dtype": str(self.dtype).encode(),
        }

    def _described(self, shape: torch.Size) -> dict[str, Tensor]:
        lead = shape[:-2]
        values: dict[str, object] = {
            "nbits": self.bits,
            "group_size": self.group_size,
            "axis": self.axis,
            "shape": list(shape[-2:]),
            "view_as_float": self.as_float,
            "quant_scale": False,
            "quant_zero": False,
            "offload_meta": False,
            "encoded_state_dict": True,
            "stores_quant_config": True,
            "channel_wise": True,
            "optimize": self.optimize,
            "round_zero": self.round_zero,
            **{name: list(text) for name, text in self._texts().items()},
        }
        made = {name: torch.tensor(values[name], dtype=dtype) for name, dtype in _NUMBERS.items()}
        return (
            {n: t.expand(*lead, *t.shape).contiguous() for n, t in made.items()} if prod(lead) > 1 else made
        )
