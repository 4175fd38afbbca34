"""Attention of long texts in chunks: to what is near, and to a summary of everything (LongT5, arXiv 2112.07916)."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class Summaries:
    """One more key for every `block` tokens: the normed sum of their states. Tokens left over join the last block."""

    block: int
    norm: Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalAttention:
    """Every token looks at those fewer than `size` tokens away, and at summaries where there are any.

    Biases by distance come from the stack's `LocalBias`. `scale` is not the usual one: T5 has none.
    """

    heads: int
    head_dim: int
    size: int
    summaries: Summaries | None = None
    scale: float = 1.0
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalBias:
    """Trained numbers per head and bucket of distances, as `BucketBias`, for `LocalAttention` of this `size`.

    With `block` there are others for distances to summaries, counted in blocks.
    """

    buckets: int
    heads: int
    size: int
    max_distance: int = 128
    block: int | None = None
