"""What a mixer needs remembered between calls, declared as data; how it is stored is the cache's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """A vector per head and token, all kept: stored as (batch, heads, tokens, features)."""

    heads: int
    features: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """As `Append`, but queries look back fewer than `window` tokens, so older ones may be forgotten."""

    heads: int
    features: int
    window: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Replace:
    """One tensor of (batch, *shape), replaced at every step; `dtype` None is the model's."""

    shape: tuple[int, ...]
    dtype: Literal["float32"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """A vector per head and token of an encoder, written at the first step and read at all others."""

    heads: int
    features: int


State = Append | Ring | Replace | Once
Layout = tuple[Mapping[str, State], ...]
"""The states of each layer by name; layers that remember nothing have an empty mapping."""
