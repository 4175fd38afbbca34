"""Latent attention as several families have it, with and without an index, and DeepSeek's whole layout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol

from hf_modeling.families.facts import rope, yarn_mscale
from hf_modeling.families.moe_parts import CORRECTION, expert_rules, further_layers, pre_norms, shared_rules
from hf_modeling.families.parts import HasRope, HasStack, decoder
from hf_modeling.spec import DecoderSpec, Ffn, LatentAttention, Mixer, OwnIndex, RmsNorm, Rope
from hf_modeling.weights.table import WeightTable

if TYPE_CHECKING:
    from hf_config.rope import RopeParameters

LATENT_EPS = 1e-6
"""Of the norms of latents: no config carries it."""


INDEX_WEIGHTS = "model.layers.{layer}.self_attn.indexer.weights_proj.weight"
"""How much each head of an index counts, which stays in float32."""


class HasLatentHeads(Protocol):
    """A config with latent attention."""

    @property
    def num_attention_heads(self) -> int: ...
    @property
    def kv_lora_rank(self) -> int: ...
    @property
    def qk_nope_head_dim(self) -> int: ...
    @property
    def qk_rope_head_dim(self) -> int: ...
    @property
    def v_head_dim(self) -> int: ...
    @property
    def attention_bias(self) -> bool: ...
    @property
    def attention_dropout(self) -> float: ...


class HasLatents(HasLatentHeads, HasRope, Protocol):
    """A config with latent attention whose heads know positions."""

    @property
    def q_lora_rank(self) -> int | None: ...


class HasIndex(HasRope, Protocol):
    """A config with an index over the keys."""

    @property
    def qk_rope_head_dim(self) -> int: ...
    @property
    def index_n_heads(self) -> int: ...
    @property
    def index_head_dim(self) -> int: ...
    @property
    def index_topk(self) -> int: ...


class HasNorm(HasStack, Protocol):
    """A config with a stack of layers between root-mean-square norms."""

    @property
    def rms_norm_eps(self) -> float: ...


def latent(
    c: HasLatents,
    layout: Literal["half", "interleaved"] = "interleaved",
    *,
    apply: Literal["input", "float32"] = "input",
) -> LatentAttention:
    """Latent attention; stretched positions also scale its scores."""
    turn = rope(c.rope_parameters, c.qk_rope_head_dim, c.max_position_embeddings, layout=layout, apply=apply)
    scale = (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * score_scale(c.rope_parameters)
    return latent_parts(c, turn, scale, query_rank=c.q_lora_rank)


def latent_parts(
    c: HasLatentHeads, turn: Rope | None, scale: float, query_rank: int | None = None
) -> LatentAttention:
    """Latent attention with this rotation and scale of scores."""
    return LatentAttention(
        heads=c.num_attention_heads,
        nope_dim=c.qk_nope_head_dim,
        rope_dim=c.qk_rope_head_dim,
        value_dim=c.v_head_dim,
        kv_rank=c.kv_lora_rank,
        query_rank=query_rank,
        norm=RmsNorm(eps=LATENT_EPS),
        rope=turn,
        scale=scale,
        bias=c.attention_bias,
        dropout=c.attention_dropout,
    )


def own_index(c: HasIndex, layout: Literal["half", "interleaved"]) -> OwnIndex:
    """The index of a layer that picks keys itself."""
    return OwnIndex(
        heads=c.index_n_heads,
        head_dim=c.index_head_dim,
        top_k=c.index_topk,
        rope=rope(c.rope_parameters, c.qk_rope_head_dim, c.max_position_embeddings, layout=layout),
    )


def score_scale(parameters: RopeParameters) -> float:
    """What stretched positions do to scores: the square of what they do to each of query and key."""
    if parameters.rope_type == "default" or not parameters.mscale_all_dim:
        return 1.0
    return yarn_mscale(parameters.factor or 1.0, parameters.mscale_all_dim) ** 2


def interleaving(interleaved: bool) -> Literal["half", "interleaved"]:
    """The layout of rotated pairs by the flag that configs carry."""
    return "interleaved" if interleaved else "half"


def paired(c: HasNorm, mixers: Iterable[Mixer], ffns: Iterable[Ffn]) -> DecoderSpec:
    """A decoder of pre-norm blocks, one for each pair of mixer and feed-forward network."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    return decoder(c, pre_norms(mixers, ffns, norm), norm)


def corrected_weights(layers: int, further: int = 0, *, fp32: tuple[str, ...] = ()) -> WeightTable:
    """Names of DeepSeek-V3, which may have `further` layers after its last one."""
    dropped = (further_layers(layers, further),) if further else ()
    return WeightTable(rules=(*dropped, *expert_rules(), *shared_rules()), fp32=(CORRECTION, *fp32))
