"""Where a parameter is, as data: whole on every rank, cut along an axis, or on the first rank alone.

N ranks of one axis of the layout (`tp`, or `ep` for experts) hold a parameter together. A placement says how,
and from it follow the rows each rank loads, whose gradients must be added up, and how often an element counts
in the global norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from hf_parallel.regions import Region, Span, whole

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


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What a rank's tensor holds of a whole one: rows `region` of the whole, at rows `places` of its own.

    Both list the same spans axis by axis. Rows of its own that no place covers are padding, and zero.
    """

    region: Region
    places: Region

    def chunk(self, dim: int, first: int, last: int) -> Holding:
        """What remains when only its own rows `first` to `last` along `dim` are kept, counted from `first`."""
        rows: list[Span] = []
        places: list[Span] = []
        for (start, _), (low, high) in zip(self.region[dim], self.places[dim], strict=True):
            low_kept, high_kept = max(low, first), min(high, last)
            if low_kept < high_kept:
                rows.append((start + low_kept - low, start + high_kept - low))
                places.append((low_kept - first, high_kept - first))
        return Holding(
            region=(*self.region[:dim], tuple(rows), *self.region[dim + 1 :]),
            places=(*self.places[:dim], tuple(places), *self.places[dim + 1 :]),
        )


def holding(placement: Placement, shape: tuple[int, ...], ways: int, rank: int) -> Holding | None:
    """What `rank` of `ways` holds of a parameter of this whole shape, and where; None: nothing."""
    held = region(placement, shape, ways, rank)
    if held is None:
        return None
    if not isinstance(placement, Cut):
        return Holding(region=held, places=held)
    places: list[Span] = []
    at = 0
    for part in placement.parts:
        first, last = part.span(ways, rank)
        places.append((at, at + last - first))
        at += part.share(ways)
    return Holding(region=held, places=(*held[: placement.dim], tuple(places), *held[placement.dim + 1 :]))


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
