"""Attention of long texts: a window around each token, and a few tokens that see and are seen by all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalWindowAttention:
    """Keys up to `reach` tokens away on either side, and all keys that are marked as global (Longformer).

    Global tokens look at every key, through projections of their own (arXiv 2004.05150, section 3.1). They are
    marked by the input `global_attention_mask`.
    """

    heads: int
    head_dim: int
    reach: int
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSparseAttention:
    """Blocks of `block` tokens that see the first and last block, their own and its two neighbours (BigBird).

    The first and last block see everything. `drawn` more blocks are seen by each other block: in training drawn
    at random (arXiv 2007.14062, section 2), otherwise the first block so many times again. Texts of no more than
    5 + 2 * `drawn` blocks see everything.
    """

    heads: int
    head_dim: int
    block: int
    drawn: int
    bias: bool = True
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstToken:
    """The first token is global."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BeforeSeparator:
    """Tokens before the first separator are global: the question."""

    separator: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AfterSeparators:
    """Tokens after the first two separators, which stand together, are global: the choice."""

    separator: int


GlobalTokens = FirstToken | BeforeSeparator | AfterSeparators
