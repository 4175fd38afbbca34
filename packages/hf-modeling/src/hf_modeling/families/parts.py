"""Parts that many decoder families have, as functions from their config fields to spec values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, Protocol

from hf_modeling.families.facts import activation, rope
from hf_modeling.spec import (
    Attention,
    Block,
    Causal,
    DecoderSpec,
    Embed,
    EmbedScale,
    Ffn,
    GatedMlp,
    LearnedPositions,
    LmHead,
    MaskRule,
    Mixer,
    Mlp,
    Norm,
    NormedSum,
    PostNorm,
    PreNorm,
    Rope,
    Sandwich,
    Window,
)
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import Rule, WeightTable, drop, rule

if TYPE_CHECKING:
    from hf_config.rope import RopeParameters
    from hf_modeling.families.family import Task

ENDINGS: Final[Mapping[Task, str]] = {
    "base": "Model",
    "causal-lm": "ForCausalLM",
    "sequence-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
}
"""How the class names of decoders end."""

ALL_HEADS: Final[tuple[Task, ...]] = ("sequence-classification", "token-classification", "question-answering")
"""The heads that most decoders have beside the language model's."""

FAIRSEQ_LAYER: Final[Mapping[str, str]] = {
    "self_attn_layer_norm.{s}": "input_layernorm.{s}",
    "final_layer_norm.{s}": "post_attention_layernorm.{s}",
    "self_attn.q_proj.{s}": "self_attn.q_proj.{s}",
    "self_attn.k_proj.{s}": "self_attn.k_proj.{s}",
    "self_attn.v_proj.{s}": "self_attn.v_proj.{s}",
    "self_attn.out_proj.{s}": "self_attn.o_proj.{s}",
    "fc1.{s}": "mlp.up_proj.{s}",
    "fc2.{s}": "mlp.down_proj.{s}",
}
"""A layer's names on disk, and in memory, in decoders that come from fairseq."""

ANSWERS_BEGIN: Final[Mapping[Task, Mapping[str, str]]] = {"question-answering": {"model.": "transformer."}}
"""Question answering of many decoders keeps the base model under another name."""

CLASSIFIER: Final[Mapping[Task, Mapping[str, str]]] = {"token-classification": {"score.": "classifier."}}
"""The name that some decoders give the head that labels tokens."""

ROTARY = drop("model.layers.{layer}.self_attn.rotary_emb.inv_freq", why="recomputed from the config")
"""What older checkpoints store of rotary positions."""


class HasHeads(Protocol):
    """A config with grouped query heads."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def num_key_value_heads(self) -> int: ...
    @property
    def attention_dropout(self) -> float: ...


class HasManyHeads(Protocol):
    """A config with heads that share nothing."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...


class HasRope(Protocol):
    """A config with one set of rope settings for all layers."""

    @property
    def rope_parameters(self) -> RopeParameters: ...
    @property
    def max_position_embeddings(self) -> int: ...


class HasMlp(Protocol):
    """A config with a feed-forward network."""

    @property
    def intermediate_size(self) -> int: ...
    @property
    def hidden_act(self) -> str: ...


class HasStack(Protocol):
    """A config with a vocabulary and a stack of layers."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def pad_token_id(self) -> int | None: ...
    @property
    def tie_word_embeddings(self) -> bool: ...


class HasLayerKinds(Protocol):
    """A config that names each layer's kind of attention."""

    @property
    def layer_types(self) -> tuple[str, ...]: ...
    @property
    def sliding_window(self) -> int | None: ...


class HasKindRopes(HasLayerKinds, Protocol):
    """A config with rope settings for each kind of layer; None is a kind without positions."""

    @property
    def rope_parameters(self) -> Mapping[str, RopeParameters | None]: ...
    @property
    def max_position_embeddings(self) -> int: ...


def attention(
    c: HasHeads, rope: Rope | None, head_dim: int | None = None, *, bias: bool = False
) -> Attention:
    """Grouped-query attention over heads of `head_dim` (default: the width shared evenly)."""
    return Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=head_dim or c.hidden_size // c.num_attention_heads,
        rope=rope,
        qkv_bias=bias,
        output_bias=bias,
        dropout=c.attention_dropout,
    )


def many_heads(c: HasManyHeads, dropout: float, *, bias: bool) -> Attention:
    """Attention in which every head has a key and value of its own, without positions."""
    return Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_attention_heads,
        head_dim=c.hidden_size // c.num_attention_heads,
        qkv_bias=bias,
        output_bias=bias,
        dropout=dropout,
    )


def one_rope(c: HasRope, head_dim: int) -> Rope:
    """The rotation of every layer, in Llama's layout."""
    return rope(c.rope_parameters, head_dim, c.max_position_embeddings)


def gated_mlp(c: HasMlp, *, bias: bool = False) -> GatedMlp:
    """Llama's feed-forward network."""
    return GatedMlp(width=c.intermediate_size, activation=activation(c.hidden_act), bias=bias)


def mlp(c: HasMlp, *, bias: bool = False) -> Mlp:
    """A feed-forward network without a gate."""
    return Mlp(width=c.intermediate_size, activation=activation(c.hidden_act), bias=bias)


def pre_norm(mixer: Mixer, ffn: Ffn, norm: Norm) -> PreNorm:
    """A block that normalises before each of its two parts."""
    return PreNorm(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=norm)


def normed_sum(mixer: Mixer, mixer_norm: Norm, ffn: Ffn, ffn_norm: Norm) -> NormedSum:
    """A block that normalises the sum of the stream and each of its two parts."""
    return NormedSum(mixer=mixer, mixer_norm=mixer_norm, ffn=ffn, ffn_norm=ffn_norm)


def post_norm(mixer: Mixer, ffn: Ffn, norm: Norm) -> PostNorm:
    """A block that normalises what each of its two parts gives."""
    return PostNorm(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=norm)


def sandwich(mixer: Mixer, ffn: Ffn, norm: Norm) -> Sandwich:
    """A block that normalises before and after each of its two parts."""
    return Sandwich(
        mixer=mixer, mixer_norm=norm, mixer_output_norm=norm, ffn=ffn, ffn_norm=norm, ffn_output_norm=norm
    )


def layered(c: HasStack, mixers: Iterable[Mixer], ffn: Ffn, norm: Norm) -> DecoderSpec:
    """A decoder of pre-norm blocks, one for each mixer, with one feed-forward network and norm for all."""
    return decoder(c, (pre_norm(mixer, ffn, norm) for mixer in mixers), norm)


def decoder(
    c: HasStack,
    blocks: Iterable[Block],
    norm: Norm | None,
    *,
    scale: EmbedScale | None = None,
    head: LmHead | None = None,
) -> DecoderSpec:
    """A decoder over the config's vocabulary, with a plain head unless another is given."""
    return DecoderSpec(
        width=c.hidden_size,
        embed=Embed(vocab=c.vocab_size, padding_id=c.pad_token_id, scale=scale),
        blocks=tuple(blocks),
        norm=norm,
        head=head or LmHead(tied=c.tie_word_embeddings),
    )


def learned(whole: DecoderSpec, count: int, dropout: float, *, offset: int = 0) -> DecoderSpec:
    """The same decoder with a trained vector for each of `count` positions, after `offset` unused rows."""
    positions = LearnedPositions(count=count + offset, offset=offset)
    return replace(whole, embed=replace(whole.embed, positions=positions, dropout=dropout))


def masks(c: HasLayerKinds) -> tuple[MaskRule, ...]:
    """What each layer may see: its window where it is a sliding layer, everything before it otherwise."""
    return tuple(window(c.sliding_window if kind == "sliding_attention" else None) for kind in c.layer_types)


def each_mask(mixer: Attention, c: HasLayerKinds) -> tuple[Attention, ...]:
    """The mixer of every layer, each with its layer's mask."""
    return tuple(replace(mixer, mask=mask) for mask in masks(c))


def each_kind(
    mixer: Attention, c: HasKindRopes, *, apply: Literal["input", "float32"] = "input"
) -> tuple[Attention, ...]:
    """The mixer of every layer, each with the mask and the rotation of its kind."""
    turns = {
        kind: rope(settings, mixer.head_dim, c.max_position_embeddings, apply=apply)
        for kind, settings in c.rope_parameters.items()
        if settings is not None
    }
    both = zip(c.layer_types, masks(c), strict=True)
    return tuple(replace(mixer, mask=mask, rope=turns.get(kind)) for kind, mask in both)


def sliding_turns(mixers: Iterable[Attention], c: HasLayerKinds) -> tuple[Attention, ...]:
    """Layers that see everything lose their positions; sliding layers keep them."""
    both = zip(mixers, c.layer_types, strict=True)
    return tuple(one if kind == "sliding_attention" else replace(one, rope=None) for one, kind in both)


def window(size: int | None) -> MaskRule:
    """The last `size` keys, or every earlier key where there is no window."""
    return Causal() if not size else Window(size=size)


def same_names(c: object) -> WeightTable:
    """Names on disk are the names in memory."""
    return WeightTable()


def fused_gate_up(width: int) -> Rule:
    """Gate and up projections of `width` rows each in one matrix on disk."""
    mlp = "model.layers.{layer}.mlp."
    return rule(
        mlp + "gate_up_proj.weight", (mlp + "gate_proj.weight", mlp + "up_proj.weight"), Split((width,) * 2)
    )


def fused_qkv(name: str, queries: int, keys: int) -> Rule:
    """Queries, keys and values of so many rows, one after the other, in `self_attn.<name>` on disk."""
    layer = "model.layers.{layer}.self_attn."
    parts = tuple(f"{layer}{part}_proj.{{s}}" for part in "qkv")
    return rule(f"{layer}{name}.{{s}}", parts, Split((queries, keys, keys)))


def classes(start: str, *tasks: Task) -> Mapping[Task, str]:
    """Public class names that begin with `start`: of the base model, the causal LM, and further `tasks`."""
    return {task: start + ENDINGS[task] for task in ("base", "causal-lm", *tasks)}
