"""Where a parameter is, as data: whole on every rank, cut along an axis, or on the first rank alone.

N ranks of one axis of the layout (`tp`, or `ep` for experts) hold a parameter together. A placement says how,
and from it follow the rows each rank loads, whose gradients must be added up, and how often an element counts
in the global norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from hf_parallel.regions import Region, Spans, whole

SplitAxis = Literal["tp", "ep"]


@final
@dataclass(frozen=True, slots=True)
class Part:
    """`size` neighbouring rows, cut into equal shares; `copies` neighbouring ranks hold the same share."""

    size: int
    copies: int = 1

    def share(self, ways: int) -> int:
        """Rows of each share; the last may hold fewer rows of the whole, and zeros after them."""
        return -(-self.size // (ways // self.copies))

    def span(self, ways: int, rank: int) -> tuple[int, int]:
        """The rows of `rank`, counted from the start of this part."""
        share = self.share(ways)
        first = min(rank // self.copies * share, self.size)
        return first, min(first + share, self.size)


@final
@dataclass(frozen=True, slots=True)
class Whole:
    """The same on every rank."""


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """Each of `parts`, one after the other along `dim`, is cut into shares: fused projections have several."""

    dim: int
    parts: tuple[Part, ...]
    axis: SplitAxis = "tp"


@final
@dataclass(frozen=True, slots=True)
class FirstOnly:
    """On the first rank alone: what is added once to a sum that all ranks contribute to."""


Placement: TypeAlias = Whole | Cut | FirstOnly

WHOLE = Whole()
FIRST = FirstOnly()


def cut(dim: int, *parts: int | Part) -> Cut:
    """A cut along `dim`; sizes stand for parts without copies."""
    return Cut(dim, tuple(part if isinstance(part, Part) else Part(part) for part in parts))


def region(placement: Placement, shape: tuple[int, ...], ways: int, rank: int) -> Region | None:
    """What `rank` of `ways` holds of a parameter of this whole shape; None: nothing."""
    match placement:
        case Whole():
            return whole(shape)
        case FirstOnly():
            return whole(shape) if rank == 0 else None
        case Cut(dim=dim, parts=parts):
            held: list[tuple[int, int]] = []
            at = 0
            for part in parts:
                first, last = part.span(ways, rank)
                held.append((at + first, at + last))
                at += part.size
            every = whole(shape)
            return (*every[:dim], tuple(held), *every[dim + 1 :])


def local_shape(placement: Placement, shape: tuple[int, ...], ways: int) -> tuple[int, ...]:
    """The shape each holder's tensor has, padding included."""
    if not isinstance(placement, Cut):
        return shape
    rows = sum(part.share(ways) for part in placement.parts)
    return (*shape[: placement.dim], rows, *shape[placement.dim + 1 :])


def slots(placement: Placement, shape: tuple[int, ...], ways: int, rank: int) -> tuple[tuple[int, int], ...]:
    """Where along a cut's axis the local tensor keeps the spans of `region`; padding lies between them."""
    if not isinstance(placement, Cut):
        return ((0, shape[0]),) if shape else ()
    kept: list[tuple[int, int]] = []
    at = 0
    for part in placement.parts:
        first, last = part.span(ways, rank)
        kept.append((at, at + last - first))
        at += part.share(ways)
    return tuple(kept)


def shared_spans(placement: Placement) -> tuple[Spans, int]:
    """Rows along the cut that several ranks hold, and the axis; no rows for other placements."""
    if not isinstance(placement, Cut):
        return (), 0
    spans: list[tuple[int, int]] = []
    at = 0
    for part in placement.parts:
        if part.copies > 1:
            spans.append((at, at + part.size))
        at += part.size
    return tuple(spans), placement.dim


def style(placement: Placement, shape: tuple[int, ...]) -> str:
    """The placement in the words of the field."""
    match placement:
        case Whole():
            return "replicated"
        case FirstOnly():
            return "first rank"
        case Cut(axis="ep"):
            return "expert"
        case Cut(dim=dim, parts=parts):
            matrix = "column" if dim == len(shape) - 2 or len(shape) == 1 else "row"
            copies = max(part.copies for part in parts)
            packed = f" ({len(parts)} parts)" if len(parts) > 1 else ""
            return matrix + packed + (f", {copies} copies" if copies > 1 else "")
