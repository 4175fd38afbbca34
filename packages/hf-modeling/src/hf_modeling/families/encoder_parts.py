"""Parts that many encoder families have, as functions from their config fields to spec values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from hf_modeling.errors import SpecError
from hf_modeling.families.facts import activation
from hf_modeling.spec import (
    Attention,
    Bidirectional,
    Embed,
    EncoderHeads,
    EncoderSpec,
    HeadTransform,
    LayerNorm,
    LearnedPositions,
    LmHead,
    Mixer,
    Mlp,
    NormedSum,
    PlainActivation,
    Pooler,
    PreNorm,
    Sum,
    TextHead,
    TokenHead,
)

if TYPE_CHECKING:
    from hf_modeling.families.family import Task

ENDINGS: Final[Mapping[Task, str]] = {
    "base": "Model",
    "masked-lm": "ForMaskedLM",
    "pretraining": "ForPreTraining",
    "replaced-tokens": "ForPreTraining",
    "next-sentence": "ForNextSentencePrediction",
    "sequence-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
}
"""How the class names of encoders end."""

JUDGES: Final[tuple[Task, ...]] = (
    "sequence-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
)
"""The heads that nearly all encoders have beside the masked language model's."""


class HasWidth(Protocol):
    """A config with heads that share nothing."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def attention_probs_dropout_prob(self) -> float: ...


class HasBlock(HasWidth, Protocol):
    """A config with the fields of BERT's blocks."""

    @property
    def intermediate_size(self) -> int: ...
    @property
    def hidden_act(self) -> str: ...
    @property
    def hidden_dropout_prob(self) -> float: ...
    @property
    def layer_norm_eps(self) -> float: ...


class HasBert(HasBlock, Protocol):
    """A config with the fields of BERT's whole encoder."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def max_position_embeddings(self) -> int: ...
    @property
    def pad_token_id(self) -> int | None: ...
    @property
    def tie_word_embeddings(self) -> bool: ...


class HasSegments(HasBert, Protocol):
    """A config with the fields of BERT's whole encoder, segments among them."""

    @property
    def type_vocab_size(self) -> int: ...


class MayDecode(Protocol):
    """A config that can make a decoder of the encoder."""

    @property
    def is_decoder(self) -> bool: ...
    @property
    def add_cross_attention(self) -> bool: ...


def refuse_decoder(c: MayDecode, model_type: str) -> None:
    """Raises SpecError for a config that reads left to right, or another model's output."""
    if c.is_decoder or c.add_cross_attention:
        raise SpecError(
            f"this config makes {model_type!r} a decoder (is_decoder or add_cross_attention), and it is an "
            "encoder here",
            fix="set both to false in config.json to read text in both directions",
        )


def attention(c: HasWidth, *, bias: bool = True) -> Attention:
    """BERT's attention: every token looks at every real token."""
    return Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_attention_heads,
        head_dim=c.hidden_size // c.num_attention_heads,
        mask=Bidirectional(),
        qkv_bias=bias,
        output_bias=bias,
        softmax="input",
        dropout=c.attention_probs_dropout_prob,
    )


def mlp(c: HasBlock) -> Mlp:
    """BERT's feed-forward network."""
    return Mlp(width=c.intermediate_size, activation=activation(c.hidden_act), bias=True)


def post_norm(c: HasBlock, mixer: Mixer) -> NormedSum:
    """BERT's block around a mixer: a norm after each sum."""
    norm, join = LayerNorm(eps=c.layer_norm_eps), Sum(dropout=c.hidden_dropout_prob)
    return NormedSum(
        mixer=mixer, mixer_norm=norm, ffn=mlp(c), ffn_norm=norm, mixer_residual=join, ffn_residual=join
    )


def pre_norm(c: HasBlock, mixer: Mixer) -> PreNorm:
    """The block whose norms come before the mixer and before the network."""
    norm, join = LayerNorm(eps=c.layer_norm_eps), Sum(dropout=c.hidden_dropout_prob)
    return PreNorm(
        mixer=mixer, mixer_norm=norm, ffn=mlp(c), ffn_norm=norm, mixer_residual=join, ffn_residual=join
    )


def bert(
    c: HasSegments, mixer: Mixer | None = None, *, classifier_dropout: float | None = None
) -> EncoderSpec:
    """BERT's encoder and heads, with another mixer if one is given."""
    whole = without_segments(c, mixer, classifier_dropout=classifier_dropout)
    return replace(whole, embed=replace(whole.embed, token_types=c.type_vocab_size))


def without_segments(
    c: HasBert, mixer: Mixer | None = None, *, classifier_dropout: float | None = None
) -> EncoderSpec:
    """BERT's encoder and heads, for texts of one segment."""
    norm, dropout = LayerNorm(eps=c.layer_norm_eps), c.hidden_dropout_prob
    return EncoderSpec(
        width=c.hidden_size,
        embed=Embed(
            vocab=c.vocab_size,
            positions=LearnedPositions(count=c.max_position_embeddings),
            norm=norm,
            padding_id=c.pad_token_id,
            dropout=dropout,
        ),
        blocks=(post_norm(c, attention(c) if mixer is None else mixer),) * c.num_hidden_layers,
        pooler=Pooler(),
        head=LmHead(tied=c.tie_word_embeddings, bias=True, transform=transform(c, activation(c.hidden_act))),
        heads=pooled(dropout if classifier_dropout is None else classifier_dropout),
    )


def transform(c: HasBlock, act: PlainActivation, dim: int | None = None) -> HeadTransform:
    """What states pass through before the vocabulary projection."""
    return HeadTransform(activation=act, norm=LayerNorm(eps=c.layer_norm_eps), dim=dim)


def pooled(dropout: float) -> EncoderHeads:
    """Heads that read the pooler, and tokens, behind one dropout."""
    text = TextHead(dropout=dropout)
    return EncoderHeads(text=text, choice=text, token=TokenHead(dropout=dropout))


def first_token(
    dropout: float, act: PlainActivation = "tanh", *, choice: TextHead | None = None
) -> EncoderHeads:
    """RoBERTa's heads: texts by a dense layer over the first token, choices by the pooler if nothing else is said."""
    text = TextHead(
        reads="first",
        transform=HeadTransform(activation=act, norm=None),
        input_dropout=dropout,
        dropout=dropout,
    )
    return EncoderHeads(
        text=text, choice=choice or TextHead(dropout=dropout), token=TokenHead(dropout=dropout)
    )


class HasRoberta(HasSegments, MayDecode, Protocol):
    """A config with the fields of RoBERTa's encoder."""

    @property
    def classifier_dropout(self) -> float | None: ...


def roberta(c: HasRoberta, model_type: str) -> EncoderSpec:
    """RoBERTa's encoder and heads. Raises SpecError for a config that makes a decoder."""
    refuse_decoder(c, model_type)
    whole = counted_after_padding(bert(c), c.pad_token_id)
    dropout = c.hidden_dropout_prob
    heads = first_token(dropout if c.classifier_dropout is None else c.classifier_dropout)
    # Its pooled head has a dropout of its own, whatever the classifier's is.
    heads = replace(heads, choice=TextHead(dropout=dropout))
    transform = HeadTransform(activation="gelu", norm=LayerNorm(eps=c.layer_norm_eps))
    return replace(whole, heads=heads, head=replace(whole.head, transform=transform))


def narrow(whole: EncoderSpec, dim: int) -> EncoderSpec:
    """The same encoder with embeddings of `dim` features, projected after everything is added to them."""
    return replace(whole, embed=replace(whole.embed, dim=dim, projection="after", projection_bias=True))


def counted_after_padding(whole: EncoderSpec, padding_id: int | None) -> EncoderSpec:
    """The same encoder whose positions have the rows after the padding id's, as fairseq counts them."""
    positions = whole.embed.positions
    assert isinstance(positions, LearnedPositions)
    if padding_id is None:
        raise SpecError(
            "positions are counted from the padding id, and pad_token_id is null",
            fix="set pad_token_id in config.json, 1 for the models that were published",
        )
    positions = replace(positions, offset=padding_id + 1, first=padding_id + 1)
    return replace(whole, embed=replace(whole.embed, positions=positions))


def classes(start: str, *tasks: Task) -> Mapping[Task, str]:
    """Public class names that begin with `start`: of the base model and of `tasks`."""
    return {task: start + ENDINGS[task] for task in ("base", *tasks)}
