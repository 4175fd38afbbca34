"""What T5 and its relatives share, as functions from their config fields to spec values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from hf_modeling.families.facts import activation
from hf_modeling.spec import (
    Attention,
    Bidirectional,
    Block,
    BucketBias,
    CrossAttention,
    Crossed,
    DecoderSpec,
    Embed,
    EncoderSpec,
    Ffn,
    GatedMlp,
    LmHead,
    LocalAttention,
    Mlp,
    OwnBias,
    PreNorm,
    Relative,
    RmsNorm,
    Seq2SeqSpec,
    SharedBias,
    StartToken,
    Sum,
)
from hf_modeling.weights.table import Drop, Rule, WeightTable, drop, renames, rule

if TYPE_CHECKING:
    from hf_modeling.families.family import Task

WITHOUT_PREFIX: Final[Mapping[Task, Mapping[str, str]]] = {
    "seq2seq-lm": {"transformer.": ""},
    "question-answering": {"transformer.": ""},
}
"""Only heads that classify put the base model under a name of its own."""


class HasT5(Protocol):
    """A config of the T5 kind."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def d_model(self) -> int: ...
    @property
    def d_kv(self) -> int: ...
    @property
    def d_ff(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_decoder_layers(self) -> int: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def relative_attention_num_buckets(self) -> int: ...
    @property
    def relative_attention_max_distance(self) -> int: ...
    @property
    def dropout_rate(self) -> float: ...
    @property
    def layer_norm_epsilon(self) -> float: ...
    @property
    def dense_act_fn(self) -> str: ...
    @property
    def is_gated_act(self) -> bool: ...
    @property
    def pad_token_id(self) -> int | None: ...
    @property
    def decoder_start_token_id(self) -> int | None: ...


def norm(c: HasT5) -> RmsNorm:
    """The root-mean-square norm that T5 brought."""
    return RmsNorm(eps=c.layer_norm_epsilon)


def bias(c: HasT5, *, both_ways: bool) -> BucketBias:
    """The bias by distance of one stack."""
    return BucketBias(
        buckets=c.relative_attention_num_buckets,
        heads=c.num_heads,
        max_distance=c.relative_attention_max_distance,
        both_ways=both_ways,
    )


def attention(c: HasT5) -> Attention:
    """Attention whose scores are not scaled, with a bias that the whole stack shares."""
    return Attention(
        heads=c.num_heads,
        kv_heads=c.num_heads,
        head_dim=c.d_kv,
        scale=1.0,
        alibi=SharedBias(),
        softmax="input",
        dropout=c.dropout_rate,
    )


def feed_forward(c: HasT5) -> Ffn:
    """The dense network, gated where the config says so."""
    kind = GatedMlp if c.is_gated_act else Mlp
    return kind(width=c.d_ff, activation=activation(c.dense_act_fn), dropout=c.dropout_rate)


def block(c: HasT5, mixer: Attention | LocalAttention, ffn: Ffn | None = None) -> PreNorm:
    """A layer of the encoder, and the decoder's around its attention to the encoder."""
    kept = Sum(dropout=c.dropout_rate)
    return PreNorm(
        mixer=mixer,
        mixer_norm=norm(c),
        ffn=ffn or feed_forward(c),
        ffn_norm=norm(c),
        mixer_residual=kept,
        ffn_residual=kept,
    )


def crossed(c: HasT5, inner: PreNorm) -> Crossed:
    """A layer of the decoder."""
    cross = CrossAttention(heads=c.num_heads, head_dim=c.d_kv, scale=1.0, dropout=c.dropout_rate)
    return Crossed(block=inner, cross=cross, norm=norm(c), residual=Sum(dropout=c.dropout_rate))


def t5(
    c: HasT5,
    *,
    scaled: bool,
    sentence_dropout: float = 0.0,
    encoder_blocks: tuple[Block, ...] | None = None,
    encoder_bias: Relative | None = None,
    decoder_blocks: tuple[Block, ...] | None = None,
) -> Seq2SeqSpec:
    """An encoder-decoder of the T5 kind; `scaled` divides logits by the root of the width."""
    embed = Embed(vocab=c.vocab_size, dropout=c.dropout_rate)
    mixer = attention(c)
    both_ways = block(c, replace(mixer, mask=Bidirectional()))
    return Seq2SeqSpec(
        encoder=EncoderSpec(
            width=c.d_model,
            embed=embed,
            blocks=encoder_blocks or (both_ways,) * c.num_layers,
            relative=encoder_bias or bias(c, both_ways=True),
            norm=norm(c),
            dropout=c.dropout_rate,
        ),
        decoder=DecoderSpec(
            width=c.d_model,
            embed=embed,
            blocks=decoder_blocks or (crossed(c, block(c, mixer)),) * c.num_decoder_layers,
            relative=bias(c, both_ways=False),
            norm=norm(c),
            head=LmHead(tied=True, scale=c.d_model**-0.5 if scaled else 1.0),
            dropout=c.dropout_rate,
        ),
        decoder_input=StartToken(token=c.decoder_start_token_id),
        sentence_dropout=sentence_dropout,
    )


def with_own_biases(whole: Seq2SeqSpec, c: HasT5) -> Seq2SeqSpec:
    """The same model with a bias for each layer instead of one for the stack (UMT5)."""

    def own(block: Block, *, both_ways: bool) -> Block:
        if isinstance(block, Crossed):
            inner = own(block.block, both_ways=both_ways)
            assert isinstance(inner, PreNorm)
            return replace(block, block=inner)
        assert isinstance(block, PreNorm)
        assert isinstance(block.mixer, Attention)
        own_bias = OwnBias(bias=bias(c, both_ways=both_ways))
        return replace(block, mixer=replace(block.mixer, alibi=own_bias))

    encoder, decoder = whole.encoder, whole.decoder
    return replace(
        whole,
        encoder=replace(
            encoder, relative=None, blocks=tuple(own(one, both_ways=True) for one in encoder.blocks)
        ),
        decoder=replace(
            decoder, relative=None, blocks=tuple(own(one, both_ways=False) for one in decoder.blocks)
        ),
    )


ATTENTION: Final[Mapping[str, str]] = {
    "q.weight": "q_proj.weight",
    "k.weight": "k_proj.weight",
    "v.weight": "v_proj.weight",
    "o.weight": "o_proj.weight",
}
PLAIN: Final[Mapping[str, str]] = {
    "DenseReluDense.wi.weight": "mlp.up_proj.weight",
    "DenseReluDense.wo.weight": "mlp.down_proj.weight",
}
GATED: Final[Mapping[str, str]] = {
    "DenseReluDense.wi_0.weight": "mlp.gate_proj.weight",
    "DenseReluDense.wi_1.weight": "mlp.up_proj.weight",
    "DenseReluDense.wo.weight": "mlp.down_proj.weight",
}


def t5_weights(
    c: HasT5, *, encoder_attention: str = "SelfAttention", own_biases: bool = False
) -> WeightTable:
    """T5's names: a list of parts for each layer, the position bias in the first layer of each stack."""
    rules: list[Rule | Drop] = []
    for stack, mixer in (("encoder", encoder_attention), ("decoder", "SelfAttention")):
        disk, memory = f"transformer.{stack}.block.{{layer}}.layer.", f"model.{stack}.layers.{{layer}}."
        last = 1 if stack == "encoder" else 2
        rules += renames(ATTENTION, disk=f"{disk}0.{mixer}.", memory=f"{memory}self_attn.")
        rules.append(rule(f"{disk}0.layer_norm.weight", f"{memory}input_layernorm.weight"))
        if stack == "decoder":
            rules += renames(ATTENTION, disk=f"{disk}1.EncDecAttention.", memory=f"{memory}cross_attn.")
            rules.append(rule(f"{disk}1.layer_norm.weight", f"{memory}cross_attention_layernorm.weight"))
        rules += renames(GATED if c.is_gated_act else PLAIN, disk=f"{disk}{last}.", memory=memory)
        rules.append(rule(f"{disk}{last}.layer_norm.weight", f"{memory}post_attention_layernorm.weight"))
        table = f"0.{mixer}.relative_attention_bias.weight"
        if own_biases:
            rules.append(rule(disk + table, f"{memory}self_attn.relative_bias.weight"))
        else:
            first = disk.replace("{layer}", "0") + table
            rules.append(rule(first, f"model.{stack}.relative.weight"))
        rules.append(
            rule(f"transformer.{stack}.final_layer_norm.weight", f"model.{stack}.norm.weight"),
        )
    rules += [
        rule("transformer.shared.weight", "model.encoder.embed_tokens.weight"),
        rule("classifier.{s}", "score.{s}"),
    ]
    return WeightTable(rules=tuple(rules), prefix="transformer.", may_differ=("lm_head.weight",))


IGNORED: Final = (
    drop(
        "transformer.encoder.embed_tokens.weight",
        "transformer.decoder.embed_tokens.weight",
        why="further names of shared.weight",
    ),
    drop(
        "transformer.decoder.block.{layer}.layer.1.EncDecAttention.relative_attention_bias.weight",
        why="distances between two texts mean nothing",
    ),
)


def class_names(stem: str) -> Mapping[Task, str]:
    """The names of a family's classes."""
    return {
        "base": f"{stem}Model",
        "seq2seq-lm": f"{stem}ForConditionalGeneration",
        "text-encoding": f"{stem}EncoderModel",
        "sequence-classification": f"{stem}ForSequenceClassification",
        "token-classification": f"{stem}ForTokenClassification",
        "question-answering": f"{stem}ForQuestionAnswering",
    }
