"""Whole models: what a family's `spec` function returns."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.block import Block
from hf_modeling.spec.embed import Embed
from hf_modeling.spec.head import LmHead
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderSpec:
    """A stack of blocks that reads left to right.

    `output_dim` projects the last hidden state (OPT). `classifier_dropout` precedes token-level classifiers.
    """

    width: int
    embed: Embed
    blocks: tuple[Block, ...]
    norm: Norm | None
    head: LmHead = LmHead()
    output_dim: int | None = None
    classifier_dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooler:
    """activation(dense(first token)), what sentence-level heads of encoders read."""

    activation: PlainActivation = "tanh"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """A stack of blocks that reads in both directions. `classifier_dropout` precedes every classifier."""

    width: int
    embed: Embed
    blocks: tuple[Block, ...]
    norm: Norm | None = None
    pooler: Pooler | None = None
    head: LmHead = LmHead()
    classifier_dropout: float = 0.1


ModelSpec = DecoderSpec | EncoderSpec
