"""Invertible layout changes between tensors on disk and tensors in memory.

An op maps a flat list of tensors to another flat list, and back without losing a bit. It needs shapes only,
so it runs on meta tensors too, and it returns views where the layout allows: a row split of a mapped file
copies nothing.

Legend for row pictures below: `[g, a, b]` is one dimension seen as g groups of a runs of b rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

Tensors = Sequence[Tensor]


class Op(Protocol):
    """A layout change that can be undone: `inverse(forward(x))` has the bits of `x`."""

    def forward(self, tensors: Tensors) -> list[Tensor]:
        """Disk layout to memory layout."""
        ...

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        """Memory layout to disk layout."""
        ...


@final
@dataclass(frozen=True)
class Same:
    """No change: the rule is a rename."""

    def forward(self, tensors: Tensors) -> list[Tensor]:
        return list(tensors)

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        return list(tensors)


@final
@dataclass(frozen=True)
class Transpose:
    """Last two dimensions swapped, as a view; vectors (a bias beside its matrix) stay as they are."""

    def forward(self, tensors: Tensors) -> list[Tensor]:
        return [t.mT if t.ndim > 1 else t for t in tensors]

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        return self.forward(tensors)


@final
@dataclass(frozen=True)
class Reshape:
    """Same elements under another shape; one `-1` is allowed in each shape."""

    disk: tuple[int, ...]
    memory: tuple[int, ...]

    def forward(self, tensors: Tensors) -> list[Tensor]:
        return [t.reshape(self.memory) for t in tensors]

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        return [t.reshape(self.disk) for t in tensors]


@final
@dataclass(frozen=True)
class Split:
    """One tensor cut along `dim` into parts of `sizes`; with `groups`, every group is cut alike.

    `groups=1` is a plain row split (fused `[q|k|v]`, `[gate|up]`) and gives views. `groups=heads` undoes a
    per-head layout `[heads, (q, k, v), hd]` with `sizes=(hd, hd, hd)`, or with r queries per key head
    `sizes=(r * hd, hd, hd)`. Blocks of `[q|v|k]` are the same op with the memory names in the order q, v, k.
    """

    sizes: tuple[int, ...]
    groups: int = 1
    dim: int = 0

    def forward(self, tensors: Tensors) -> list[Tensor]:
        (whole,) = tensors
        if self.groups == 1:
            return list(torch.split(whole, list(self.sizes), self.dim))
        dim = self.dim % whole.ndim
        grouped = torch.unflatten(whole, dim, (self.groups, sum(self.sizes)))
        return [part.flatten(dim, dim + 1) for part in torch.split(grouped, list(self.sizes), dim + 1)]

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        if self.groups == 1:
            return [torch.cat(list(tensors), self.dim)]
        dim = self.dim % tensors[0].ndim
        grouped = [
            torch.unflatten(t, dim, (self.groups, size)) for t, size in zip(tensors, self.sizes, strict=True)
        ]
        return [torch.cat(grouped, dim + 1).flatten(dim, dim + 1)]


@final
@dataclass(frozen=True)
class Stack:
    """Per-expert tensors stacked into one `[E, ...]`; several names per expert are joined along dimension 1.

    With `names=2` the input is `[gate_0 .. gate_E, up_0 .. up_E]` (the whole first name, then the second),
    all of one shape `[F, d]`, and the result is `[E, 2F, d]`.
    """

    names: int = 1

    def forward(self, tensors: Tensors) -> list[Tensor]:
        experts = len(tensors) // self.names
        by_expert = [tensors[name * experts + e] for e in range(experts) for name in range(self.names)]
        stacked = torch.stack(by_expert)
        return [
            stacked if self.names == 1 else torch.unflatten(stacked, 0, (experts, self.names)).flatten(1, 2)
        ]

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        (stacked,) = tensors
        if self.names == 1:
            return list(stacked.unbind(0))
        return [t for part in stacked.chunk(self.names, 1) for t in part.unbind(0)]


@final
@dataclass(frozen=True)
class Deinterleave:
    """Rows that alternate between `parts` brought together: `[groups, n, parts]` to `[groups, parts, n]`.

    Even and odd gate/up columns become halves with `dim=-1`; rotary pairs (2j, 2j+1) of each head become
    half-split ones with `groups=heads`. Acts on every tensor given.
    """

    parts: int = 2
    groups: int = 1
    dim: int = 0

    def forward(self, tensors: Tensors) -> list[Tensor]:
        return [self._swapped(t, (self.groups, -1, self.parts)) for t in tensors]

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        return [self._swapped(t, (self.groups, self.parts, -1)) for t in tensors]

    def _swapped(self, tensor: Tensor, rows: tuple[int, int, int]) -> Tensor:
        dim = self.dim % tensor.ndim
        return torch.unflatten(tensor, dim, rows).transpose(dim + 1, dim + 2).flatten(dim, dim + 2)


@final
@dataclass(frozen=True)
class Inverse:
    """Another op run backwards, for layouts that are more fused in memory than on disk."""

    op: Op

    def forward(self, tensors: Tensors) -> list[Tensor]:
        return self.op.inverse(tensors)

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        return self.op.forward(tensors)


@final
@dataclass(frozen=True)
class Chain:
    """Ops applied one after the other when loading, and undone in reverse order when saving."""

    ops: tuple[Op, ...]

    def forward(self, tensors: Tensors) -> list[Tensor]:
        for op in self.ops:
            tensors = op.forward(tensors)
        return list(tensors)

    def inverse(self, tensors: Tensors) -> list[Tensor]:
        for op in reversed(self.ops):
            tensors = op.inverse(tensors)
        return list(tensors)


def concat(sizes: tuple[int, ...], *, dim: int = 0) -> Inverse:
    """Several disk tensors of these sizes joined along `dim` into one in memory."""
    return Inverse(Split(sizes, dim=dim))


def chain(*ops: Op) -> Chain:
    """`ops` in loading order, as one op."""
    return Chain(ops)
