"""Communication inside the forward pass, each with the backward pass that belongs to it.

A tensor is *the same* on all ranks of a group, a *part* of it (a slice along one axis), or a *summand*. The
functions are named by what they turn into what; gradients are of the opposite kinds: a tensor that is the same
and is used differently by each rank has summands for gradients, and so on (arXiv 1909.08053, section 3).

All are torch's functional collectives, which `torch.compile` and dispatch modes can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.distributed import ProcessGroup

OPS = torch.ops._c10d_functional  # what torch.distributed._functional_collectives is made of

Spread = Literal["same", "summands"]
"""What ranks do with a gathered tensor: all the same, or each its own share of the work."""


def all_reduced(x: Tensor, group: ProcessGroup) -> Tensor:
    """The sum over ranks, on every rank. No gradient."""
    return _done(OPS.all_reduce(x.contiguous(), "sum", group.group_name))


def all_gathered(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """All ranks' parts joined along `dim`. No gradient."""
    if group.size() == 1:
        return x
    rows = x.movedim(dim, 0).contiguous()
    return _done(OPS.all_gather_into_tensor(rows, group.size(), group.group_name)).movedim(0, dim)


def reduce_scattered(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's part along `dim` of the sum over ranks. No gradient."""
    if group.size() == 1:
        return x
    rows = x.movedim(dim, 0).contiguous()
    made = _done(OPS.reduce_scatter_tensor(rows, "sum", group.size(), group.group_name))
    return made.movedim(0, dim)


def own_part(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's slice of a tensor that is the same everywhere. No gradient."""
    return x.chunk(group.size(), dim)[group.rank()].contiguous()


def rows_exchanged(x: Tensor, sent: Sequence[int], received: Sequence[int], group: ProcessGroup) -> Tensor:
    """`sent[r]` rows go to rank r, `received[r]` come from it, in the order of ranks. No gradient."""
    return _done(OPS.all_to_all_single(x.contiguous(), list(received), list(sent), group.group_name))


def same_to_work(x: Tensor, group: ProcessGroup) -> Tensor:
    """What is the same everywhere, about to be used by each rank for its own share of the work."""
    return _applied(_SameToWork, x, group) if group.size() > 1 else x


def summands_to_same(x: Tensor, group: ProcessGroup) -> Tensor:
    """The sum of what the ranks made."""
    return _applied(_SummandsToSame, x, group) if group.size() > 1 else x


def parts_to_whole(x: Tensor, dim: int, group: ProcessGroup, used: Spread) -> Tensor:
    """All parts joined along `dim`, for the same use everywhere, or for each rank's own share of the work."""
    return _applied(_PartsToWhole, x, dim, group, used) if group.size() > 1 else x


def same_to_parts(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's part along `dim` of what is the same everywhere."""
    return _applied(_SameToParts, x, dim, group) if group.size() > 1 else x


def summands_to_parts(x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
    """This rank's part along `dim` of the sum of what the ranks made."""
    return _applied(_SummandsToParts, x, dim, group) if group.size() > 1 else x


def swap_parts(x: Tensor, split: int, join: int, group: ProcessGroup) -> Tensor:
    """Parts along `join` become parts along `split`: every rank sends each other one its slice of `split`."""
    return _applied(_SwapParts, x, split, join, group) if group.size() > 1 else x


def exchange_rows(x: Tensor, sent: Sequence[int], received: Sequence[int], group: ProcessGroup) -> Tensor:
    """`rows_exchanged`, with a backward pass that sends the gradients back."""
    return _applied(_ExchangeRows, x, tuple(sent), tuple(received), group)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself; its gradient is multiplied."""
    return _applied(_ScaleGradient, x, factor)


# torch types neither `ctx` nor `apply`: the functions above are the typed way in.


def _applied(function: type[Function], *args: object) -> Tensor:
    return cast("Tensor", function.apply(*args))


def _done(started: object) -> Tensor:
    return cast("Tensor", OPS.wait_tensor(started))


class _SameToWork(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return all_reduced(grad, ctx.group), None


class _SummandsToSame(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        return all_reduced(x, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _PartsToWhole(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: ProcessGroup, used: Spread) -> Tensor:
        ctx.dim, ctx.group, ctx.used = dim, group, used
        return all_gathered(x, dim, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        bring = reduce_scattered if ctx.used == "summands" else own_part
        return bring(grad, ctx.dim, ctx.group), None, None, None


class _SameToParts(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
        ctx.dim, ctx.group = dim, group
        return own_part(x, dim, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return all_gathered(grad, ctx.dim, ctx.group), None, None


class _SummandsToParts(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, group: ProcessGroup) -> Tensor:
        ctx.dim, ctx.group = dim, group
        return reduce_scattered(x, dim, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return all_gathered(grad, ctx.dim, ctx.group), None, None


class _SwapParts(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, split: int, join: int, group: ProcessGroup) -> Tensor:
        ctx.split, ctx.join, ctx.group = split, join, group
        return _swapped(x, split, join, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _swapped(grad, ctx.join, ctx.split, ctx.group), None, None, None


class _ExchangeRows(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sent: tuple[int, ...], received: tuple[int, ...], group: ProcessGroup
    ) -> Tensor:
        ctx.sent, ctx.received, ctx.group = sent, received, group
        return rows_exchanged(x, sent, received, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return rows_exchanged(grad, ctx.received, ctx.sent, ctx.group), None, None, None


class _ScaleGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def _swapped(x: Tensor, split: int, join: int, group: ProcessGroup) -> Tensor:
    ways = group.size()
    pieces = torch.stack(x.chunk(ways, split))
    rows = rows_exchanged(pieces, [1] * ways, [1] * ways, group)
    return torch.cat(rows.unbind(0), join)
