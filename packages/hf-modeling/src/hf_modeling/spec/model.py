"""Whole models: what a family's `spec` function returns."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.block import Block, NormedSum
from hf_modeling.spec.embed import Boxes, Embed
from hf_modeling.spec.head import EncoderHeads, LmHead
from hf_modeling.spec.norm import Norm
from hf_modeling.spec.relative import Relative
from hf_modeling.spec.sparse import GlobalWindowAttention


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderSpec:
    """A stack of blocks that reads left to right.

    `output_dim` projects the last hidden state (OPT). `relative` is what all layers know about distances
    together. While training, `dropout` acts on the last hidden state, and each block is left out with probability
    `layer_dropout`. `classifier_dropout` precedes token-level classifiers.
    """

    width: int
    embed: Embed
    blocks: tuple[Block, ...]
    norm: Norm | None
    head: LmHead = LmHead()
    output_dim: int | None = None
    relative: Relative | None = None
    dropout: float = 0.0
    layer_dropout: float = 0.0
    classifier_dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooler:
    """activation(dense(first token)), what sentence-level heads of encoders read."""

    activation: PlainActivation = "tanh"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """A stack of blocks that reads in both directions.

    `order` is the order in which blocks run where some run more than once (ALBERT). `relative` is what all
    layers know about distances together. While training, `dropout` acts on the last hidden state, and each block
    is left out with probability `layer_dropout`.
    """

    width: int
    embed: Embed
    blocks: tuple[Block, ...]
    order: tuple[int, ...] | None = None
    relative: Relative | None = None
    norm: Norm | None = None
    dropout: float = 0.0
    layer_dropout: float = 0.0
    pooler: Pooler | None = None
    head: LmHead = LmHead()
    heads: EncoderHeads = EncoderHeads()

    @property
    def reads(self) -> frozenset[str]:
        """The inputs beside token ids, mask, segments and positions that this model reads, by name."""
        added = {"bbox" if isinstance(one, Boxes) else one.read for one in self.embed.added}
        mixers = (block.mixer for block in self.blocks if isinstance(block, NormedSum))
        marks = any(isinstance(mixer, GlobalWindowAttention) for mixer in mixers)
        return frozenset(added | {"global_attention_mask"} if marks else added)


StackSpec = DecoderSpec | EncoderSpec
"""One stack of blocks."""
