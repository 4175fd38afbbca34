"""Mixers beyond grouped-query attention as several families have them, and how checkpoints name their parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from hf_modeling.families.facts import activation
from hf_modeling.families.moe_parts import MOE, drafting, pre_norms
from hf_modeling.families.parts import (
    HasHeads,
    HasRope,
    HasStack,
    attention,
    decoder,
    one_rope,
)
from hf_modeling.spec import (
    Attention,
    DecoderSpec,
    Ffn,
    GatedDelta,
    KimiDelta,
    Mixer,
    OutputGate,
    QkNorm,
    RmsNorm,
    ShortConv,
)
from hf_modeling.weights.ops import Split, concat
from hf_modeling.weights.table import Rule, drop, renames, rule

ATTENTION = "model.layers.{layer}.self_attn."
"""Where a layer's mixer is in memory, whatever it is, and on disk in most families."""

MULTIMODAL_PARTS = (
    drafting("mtp.{rest}"),
    drop("model.visual.{rest}", why="reads images; this is the text model"),
)
"""What checkpoints hold beside Qwen3.5's text model."""


LFM2_HEADS = renames(
    {
        "out_proj.weight": "o_proj.weight",
        "q_layernorm.weight": "q_norm.weight",
        "k_layernorm.weight": "k_norm.weight",
    },
    disk=ATTENTION,
    memory=ATTENTION,
)
"""LFM2's names of an attention layer's parts."""


class HasKinds(Protocol):
    """A config that names each layer's kind of mixer."""

    @property
    def layer_types(self) -> tuple[str, ...]: ...


class HasDelta(Protocol):
    """A config with gated delta nets."""

    @property
    def linear_num_key_heads(self) -> int: ...
    @property
    def linear_num_value_heads(self) -> int: ...
    @property
    def linear_key_head_dim(self) -> int: ...
    @property
    def linear_value_head_dim(self) -> int: ...
    @property
    def linear_conv_kernel_dim(self) -> int: ...
    @property
    def rms_norm_eps(self) -> float: ...
    @property
    def hidden_act(self) -> str: ...


class HasKimiDelta(Protocol):
    """A config with Kimi delta attention."""

    @property
    def linear_num_heads(self) -> int: ...
    @property
    def linear_head_dim(self) -> int: ...
    @property
    def linear_conv_kernel_dim(self) -> int: ...
    @property
    def rms_norm_eps(self) -> float: ...
    @property
    def hidden_act(self) -> str: ...


class HasShortConv(HasRope, HasKinds, Protocol):
    """A config with short convolutions beside attention."""

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_attention_heads(self) -> int: ...
    @property
    def num_key_value_heads(self) -> int: ...
    @property
    def norm_eps(self) -> float: ...
    @property
    def conv_L_cache(self) -> int: ...
    @property
    def conv_bias(self) -> bool: ...


class HasGatedDelta(HasStack, HasHeads, HasRope, HasKinds, HasDelta, Protocol):
    """A config with gated delta nets and gated attention."""

    @property
    def head_dim(self) -> int: ...
    @property
    def attention_bias(self) -> bool: ...


def of_kind(kinds: Sequence[str], kind: str) -> frozenset[int]:
    """The numbers of the layers of this kind."""
    return frozenset(index for index, one in enumerate(kinds) if one == kind)


def each_of(c: HasKinds, linear: Mixer, attention: Mixer) -> tuple[Mixer, ...]:
    """The mixer of every layer: `linear` where its kind says so, `attention` elsewhere."""
    return tuple(linear if kind == "linear_attention" else attention for kind in c.layer_types)


def gated_delta(c: HasDelta) -> GatedDelta:
    """A gated delta net."""
    return GatedDelta(
        key_heads=c.linear_num_key_heads,
        value_heads=c.linear_num_value_heads,
        key_dim=c.linear_key_head_dim,
        value_dim=c.linear_value_head_dim,
        conv=c.linear_conv_kernel_dim,
        norm=RmsNorm(eps=c.rms_norm_eps),
        activation=activation(c.hidden_act),
    )


def kimi_delta(c: HasKimiDelta, rank: int | None) -> KimiDelta:
    """Kimi delta attention, its decay and gate projected through `rank` features."""
    return KimiDelta(
        heads=c.linear_num_heads,
        head_dim=c.linear_head_dim,
        rank=rank,
        conv=c.linear_conv_kernel_dim,
        norm=RmsNorm(eps=c.rms_norm_eps, cast="after_weight"),
        activation=activation(c.hidden_act),
    )


def short_conv_mixers(c: HasShortConv) -> tuple[Mixer, ...]:
    """The mixer of every layer: a short convolution, or attention with normalised heads."""
    head_dim = c.hidden_size // c.num_attention_heads
    full = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=head_dim,
        rope=one_rope(c, head_dim),
        qk_norm=QkNorm(norm=RmsNorm(eps=c.norm_eps)),
    )
    conv = ShortConv(width=c.conv_L_cache, bias=c.conv_bias)
    return tuple(conv if kind == "conv" else full for kind in c.layer_types)


def short_conv_rules(c: HasKinds) -> tuple[Rule, ...]:
    """LFM2's names of norms and convolutions."""
    layer = "model.layers.{layer}."
    norms = {
        "operator_norm.weight": "input_layernorm.weight",
        "ffn_norm.weight": "post_attention_layernorm.weight",
    }
    return (
        rule("model.embedding_norm.weight", "model.norm.weight"),
        *renames(norms, disk=layer, memory=layer),
        rule(layer + "conv.{rest}", ATTENTION + "{rest}", layers=of_kind(c.layer_types, "conv")),
    )


def w_rules(disk: str = "model.layers.{layer}.feed_forward.") -> tuple[Rule, ...]:
    """A feed-forward network whose gate is w1, whose second input w3, and whose output w2."""
    names = {"w1.weight": "gate_proj.weight", "w3.weight": "up_proj.weight", "w2.weight": "down_proj.weight"}
    return renames(names, disk=disk, memory=MOE)


def gated_delta_decoder(c: HasGatedDelta, ffns: Iterable[Ffn]) -> DecoderSpec:
    """Qwen's hybrid: gated delta nets, with gated attention in between."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    full = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        gate=OutputGate(),
    )
    return decoder(c, pre_norms(each_of(c, gated_delta(c), full), ffns, norm), norm)


def gated_delta_rules(c: HasGatedDelta) -> tuple[Rule, ...]:
    """Each head's query lies before its gate; a delta net's parts have a name of their own."""
    linear = of_kind(c.layer_types, "linear_attention")
    halves = Split((c.head_dim, c.head_dim), groups=c.num_attention_heads)
    both = (ATTENTION + "q_proj.{s}", ATTENTION + "gate_proj.{s}")
    return (
        rule(ATTENTION + "q_proj.{s}", both, halves),
        rule("model.layers.{layer}.linear_attn.{rest}", ATTENTION + "{rest}", layers=linear),
    )


def joined_qkv(disk: str, sizes: tuple[int, int, int], layers: frozenset[int]) -> tuple[Rule, ...]:
    """Projections and kernels of queries, keys and values, each three tensors under `disk`, one in memory."""
    projections = tuple(f"{disk}{part}_proj.weight" for part in "qkv")
    kernels = tuple(f"{disk}{part}_conv1d.weight" for part in "qkv")
    return (
        rule(projections, ATTENTION + "in_proj_qkv.weight", concat(sizes), layers=layers),
        rule(kernels, ATTENTION + "conv1d.weight", concat(sizes), layers=layers),
    )
