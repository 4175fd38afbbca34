"""Attention over contents and distances apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Term = Literal["content_to_position", "position_to_content"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DisentangledAttention:
    """Softmax of (q k + q p_k + k p_q) / sqrt((1 + terms) head_dim), the p projected from the stack's distances.

    `terms` are the sums that there are (DeBERTa, arXiv 2006.03654, section 3.1). `projections` "content" takes the
    projections of contents for distances too; "own" has some for each term. `key_bias` and `distance_key_bias`
    are biases of key projections, which the first version lacks. `distance_dropout` is that of the distances.
    """

    heads: int
    head_dim: int
    terms: tuple[Term, ...]
    projections: Literal["content", "own"] = "own"
    key_bias: bool = True
    distance_key_bias: bool = True
    dropout: float = 0.0
    distance_dropout: float = 0.0
