"""Attention to what an encoder gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossAttention:
    """Every token looks at every real token of the encoder's last hidden states.

    `source_width` is the width of those states where it is not the decoder's. `scale` None is head_dim^-1/2.
    """

    heads: int
    head_dim: int
    source_width: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    scale: float | None = None
    dropout: float = 0.0
