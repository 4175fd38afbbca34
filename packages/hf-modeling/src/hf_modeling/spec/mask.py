"""Which keys a query may see, by the order of tokens. Padding and packing are added at run time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Causal:
    """Every key up to and including the query's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The last `size` keys, the query's own among them."""

    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Keys up to the query's own within the same block of `size` tokens, counted from each row's first real token."""

    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Bidirectional:
    """Every key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BidirectionalWindow:
    """Keys fewer than `size` tokens away on either side."""

    size: int


MaskRule = Causal | Window | Chunk | Bidirectional | BidirectionalWindow
