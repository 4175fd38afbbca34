"""Mixers beyond grouped-query attention as several families have them, and how checkpoints name their parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from hf_modeling.families.facts import rope, yarn_mscale
from hf_modeling.families.moe_parts import CORRECTION, expert_rules, shared_rules
from hf_modeling.families.parts import HasMlp, HasRope, HasStack, decoder, gated_mlp, pre_norm
from hf_modeling.spec import DecoderSpec, Ffn, LatentAttention, Mixer, OwnIndex, RmsNorm
from hf_modeling.weights.table import Drop, WeightTable, drop

if TYPE_CHECKING:
    from hf_config.rope import RopeParameters

LATENT_EPS = 1e-6
"""Of the norms of latents: no config carries it."""


INDEX_WEIGHTS = "model.layers.{layer}.self_attn.indexer.weights_proj.weight"
"""How much each head of an index counts, which stays in float32."""


class HasLatents(HasRope, Protocol):
    """A config with latent attention."""

    @property
    def num_attention_heads(self) -> int: ...
    @property
    def kv_lora_rank(self) -> int: ...
    @property
    def q_lora_rank(self) -> int | None: ...
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


class HasNorm(HasStack, HasMlp, Protocol):
    """A config with a stack of layers between root-mean-square norms."""

    @property
    def num_hidden_layers(self) -> int: ...
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
    return LatentAttention(
        heads=c.num_attention_heads,
        nope_dim=c.qk_nope_head_dim,
        rope_dim=c.qk_rope_head_dim,
        value_dim=c.v_head_dim,
        kv_rank=c.kv_lora_rank,
        query_rank=c.q_lora_rank,
        norm=RmsNorm(eps=LATENT_EPS),
        rope=turn,
        scale=(c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * score_scale(c.rope_parameters),
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


def dense_and_sparse(
    c: HasNorm, mixers: Iterable[Mixer], sparse: Ffn, kinds: Sequence[str], dense: Ffn | None = None
) -> DecoderSpec:
    """A decoder of pre-norm blocks, each with the feed-forward network that its kind names."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    dense = dense or gated_mlp(c)
    both = zip(mixers, kinds, strict=True)
    blocks = (pre_norm(mixer, sparse if kind == "sparse" else dense, norm) for mixer, kind in both)
    return decoder(c, blocks, norm)


def dense_first(layers: int, dense: int) -> tuple[str, ...]:
    """The kind of each feed-forward network where the first `dense` layers have no experts."""
    return ("dense",) * min(dense, layers) + ("sparse",) * (layers - dense)


def corrected_weights(layers: int, extra: int = 0, *, fp32: tuple[str, ...] = ()) -> WeightTable:
    """Names of DeepSeek-V3; `extra` layers after the last one predict further tokens and are left out."""
    further = tuple(further_tokens(layers + index) for index in range(extra))
    return WeightTable(rules=(*further, *expert_rules(), *shared_rules()), fp32=(CORRECTION, *fp32))


def further_tokens(layer: int) -> Drop:
    """A layer behind the last, trained to predict the token after the next."""
    return drop(
        f"model.layers.{layer}.{{rest}}", why="predicts further tokens, which generation here does not use"
    )
