"""Parts that several encoder-decoders have, as functions from their config fields to spec values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from hf_modeling.families.facts import activation
from hf_modeling.spec import (
    Attention,
    Bidirectional,
    Block,
    CrossAttention,
    Crossed,
    DecoderInput,
    DecoderSpec,
    Embed,
    EmbedScale,
    EncoderSpec,
    LayerNorm,
    LmHead,
    Mixer,
    Mlp,
    NormedSum,
    Positions,
    PreNorm,
    Seq2SeqSpec,
    StartToken,
    Sum,
)
from hf_modeling.weights.ops import Reshape
from hf_modeling.weights.table import Drop, Rule, WeightTable, drop, renames, rule

if TYPE_CHECKING:
    from hf_modeling.families.family import Task

NORM: Final = LayerNorm(eps=1e-5)

ENDINGS: Final[Mapping[Task, str]] = {
    "base": "Model",
    "seq2seq-lm": "ForConditionalGeneration",
    "sequence-classification": "ForSequenceClassification",
    "question-answering": "ForQuestionAnswering",
}
"""How the class names of encoder-decoders end."""


class HasFairseq(Protocol):
    """A config of the encoder-decoders that come from fairseq."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @property
    def encoder_layers(self) -> int: ...
    @property
    def encoder_ffn_dim(self) -> int: ...
    @property
    def encoder_attention_heads(self) -> int: ...
    @property
    def encoder_layerdrop(self) -> float: ...
    @property
    def decoder_layers(self) -> int: ...
    @property
    def decoder_ffn_dim(self) -> int: ...
    @property
    def decoder_attention_heads(self) -> int: ...
    @property
    def decoder_layerdrop(self) -> float: ...
    @property
    def activation_function(self) -> str: ...
    @property
    def dropout(self) -> float: ...
    @property
    def attention_dropout(self) -> float: ...
    @property
    def activation_dropout(self) -> float: ...
    @property
    def pad_token_id(self) -> int | None: ...
    @property
    def decoder_start_token_id(self) -> int | None: ...
    @property
    def tie_word_embeddings(self) -> bool: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Wiring:
    """Where a fairseq family has its norms: `first` before each branch, else after; of embeddings; at the end.

    `late_positions` says that the decoder adds positions after the norm of its embeddings.
    """

    first: bool
    embedded: bool
    last: bool
    late_positions: bool = False


POST: Final = Wiring(first=False, embedded=True, last=False)
PRE: Final = Wiring(first=True, embedded=False, last=True)


def self_attention(c: HasFairseq, heads: int) -> Attention:
    """Attention of a fairseq decoder to its own tokens."""
    return Attention(
        heads=heads,
        kv_heads=heads,
        head_dim=c.d_model // heads,
        qkv_bias=True,
        output_bias=True,
        softmax="input",
        dropout=c.attention_dropout,
    )


def fairseq_block(c: HasFairseq, mixer: Mixer, inner: int, wiring: Wiring) -> PreNorm | NormedSum:
    """A layer with norms before or after its branches."""
    kind = PreNorm if wiring.first else NormedSum
    ffn = Mlp(
        width=inner, activation=activation(c.activation_function), bias=True, dropout=c.activation_dropout
    )
    kept = Sum(dropout=c.dropout)
    return kind(mixer=mixer, mixer_norm=NORM, ffn=ffn, ffn_norm=NORM, mixer_residual=kept, ffn_residual=kept)


def fairseq_crossed(c: HasFairseq, wiring: Wiring) -> Crossed:
    """A decoder's layer."""
    heads = c.decoder_attention_heads
    cross = CrossAttention(
        heads=heads,
        head_dim=c.d_model // heads,
        qkv_bias=True,
        output_bias=True,
        dropout=c.attention_dropout,
    )
    block = fairseq_block(c, self_attention(c, heads), c.decoder_ffn_dim, wiring)
    return Crossed(block=block, cross=cross, norm=NORM, residual=Sum(dropout=c.dropout))


def fairseq_embed(c: HasFairseq, positions: Positions, wiring: Wiring, *, scaled: bool) -> Embed:
    """Token embeddings, times the root of the width if they are `scaled`, and positions."""
    return Embed(
        vocab=c.vocab_size,
        scale=EmbedScale(value=math.sqrt(c.d_model)) if scaled else None,
        positions=positions,
        norm=NORM if wiring.embedded else None,
        padding_id=c.pad_token_id,
        dropout=c.dropout,
    )


def fairseq(
    c: HasFairseq,
    wiring: Wiring,
    positions: Positions,
    *,
    scaled: bool,
    decoder_positions: Positions | None = None,
    encoder_blocks: tuple[Block, ...] | None = None,
    decoder_input: DecoderInput | None = None,
    echo: bool = False,
    logits_bias: bool = True,
    sentence_dropout: float = 0.0,
) -> Seq2SeqSpec:
    """An encoder-decoder of the kind that BART is, with these positions in both stacks."""
    if encoder_blocks is None:
        mixer = self_attention(c, c.encoder_attention_heads)
        both_ways = fairseq_block(c, bidirectional(mixer), c.encoder_ffn_dim, wiring)
        encoder_blocks = (both_ways,) * c.encoder_layers
    last = NORM if wiring.last else None
    return Seq2SeqSpec(
        encoder=EncoderSpec(
            width=c.d_model,
            embed=fairseq_embed(c, positions, wiring, scaled=scaled),
            blocks=encoder_blocks,
            norm=last,
            layer_dropout=c.encoder_layerdrop,
        ),
        decoder=DecoderSpec(
            width=c.d_model,
            embed=replace(
                fairseq_embed(c, decoder_positions or positions, wiring, scaled=scaled),
                norm_at="before_positions" if wiring.late_positions else "end",
            ),
            blocks=(fairseq_crossed(c, wiring),) * c.decoder_layers,
            norm=last,
            head=LmHead(tied=c.tie_word_embeddings),
            layer_dropout=c.decoder_layerdrop,
        ),
        decoder_input=decoder_input or StartToken(token=c.decoder_start_token_id),
        echo=echo,
        logits_bias=logits_bias,
        sentence_dropout=sentence_dropout,
    )


def bidirectional(mixer: Attention) -> Attention:
    """The same attention in both directions."""
    return replace(mixer, mask=Bidirectional())


ATTENTION: Final[Mapping[str, str]] = {
    "q_proj.{s}": "q_proj.{s}",
    "k_proj.{s}": "k_proj.{s}",
    "v_proj.{s}": "v_proj.{s}",
    "out_proj.{s}": "o_proj.{s}",
}


def fairseq_weights(
    wiring: Wiring,
    *,
    prefix: str = "model.",
    logits_bias: bool = True,
    shared: bool = True,
    encoder: Mapping[str, str] | None = None,
) -> WeightTable:
    """The names of fairseq's encoder-decoders; `shared` stacks read tokens through `model.shared`.

    encoder: further names of a layer of the encoder.
    """
    before, after = (
        ("input_layernorm", "post_attention_layernorm")
        if wiring.first
        else ("post_attention_layernorm", "post_feedforward_layernorm")
    )
    layer = {
        **{f"self_attn.{disk}": f"self_attn.{memory}" for disk, memory in ATTENTION.items()},
        **{f"encoder_attn.{disk}": f"cross_attn.{memory}" for disk, memory in ATTENTION.items()},
        "self_attn_layer_norm.{s}": f"{before}.{{s}}",
        "encoder_attn_layer_norm.{s}": "cross_attention_layernorm.{s}",
        "final_layer_norm.{s}": f"{after}.{{s}}",
        "fc1.{s}": "mlp.up_proj.{s}",
        "fc2.{s}": "mlp.down_proj.{s}",
    }
    stack = {
        "embed_positions.weight": "stem.positions.weight",
        "layernorm_embedding.{s}": "stem.norm.{s}",
        "layer_norm.{s}": "norm.{s}",
    }
    rules: list[Rule | Drop] = [
        *renames(
            encoder or {}, disk=f"{prefix}encoder.layers.{{layer}}.", memory="model.encoder.layers.{layer}."
        ),
        *(
            one
            for part in ("encoder", "decoder")
            for one in (
                *renames(
                    layer, disk=f"{prefix}{part}.layers.{{layer}}.", memory=f"model.{part}.layers.{{layer}}."
                ),
                *renames(stack, disk=f"{prefix}{part}.", memory=f"model.{part}."),
            )
        ),
    ]
    if shared:
        rules += [
            rule(f"{prefix}shared.weight", "model.encoder.embed_tokens.weight"),
            drop(
                f"{prefix}encoder.embed_tokens.weight",
                f"{prefix}decoder.embed_tokens.weight",
                why=f"further names of {prefix}shared.weight",
            ),
        ]
    if logits_bias:
        rules.append(rule("final_logits_bias", "logits_bias.values", Reshape((1, -1), (-1,))))
    return WeightTable(rules=tuple(rules), prefix=prefix)


STORED_POSITIONS: Final = ("model.encoder.stem.positions.weight", "model.decoder.stem.positions.weight")
"""Where stored sinusoids are; files that leave them out mean the same."""


def class_names(stem: str, *tasks: Task) -> Mapping[Task, str]:
    """The names of a family's classes, for the base model, the generating one, and these tasks."""
    return {task: stem + ENDINGS[task] for task in ("base", "seq2seq-lm", *tasks)}
