"""Mixers beyond grouped-query attention."""

from __future__ import annotations

from dataclasses import replace

from hf_modeling.build.attention import build_attention, choose_attend, scale_by_position
from hf_modeling.build.norm import build_norm
from hf_modeling.build.shared import Building
from hf_modeling.errors import SpecError
from hf_modeling.layers.attend import EagerAttend
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.block_sparse import BlockSparseLayer
from hf_modeling.layers.delta import GatedDeltaLayer, KimiDeltaLayer, LightningLayer
from hf_modeling.layers.disentangled import DisentangledAttentionLayer
from hf_modeling.layers.global_window import GlobalWindowLayer
from hf_modeling.layers.latent import Indexer, LatentAttentionLayer, LatentNorms
from hf_modeling.layers.local import LocalAttentionLayer
from hf_modeling.layers.mamba import Mamba1Layer, Mamba2Layer
from hf_modeling.layers.relative import shared_bias
from hf_modeling.layers.special import DifferentialAttentionLayer, MixtureOfAttentionLayer, PairLayer
from hf_modeling.spec import (
    AttentionBesideMamba,
    Bidirectional,
    BlockSparseAttention,
    Causal,
    DifferentialAttention,
    DisentangledAttention,
    DistanceTable,
    GatedDelta,
    GlobalWindowAttention,
    KimiDelta,
    LatentAttention,
    Lightning,
    LocalAttention,
    Mamba1,
    Mamba2,
    MaskRule,
    MixtureOfAttention,
    OwnIndex,
    RmsNorm,
)


def build_latent(spec: LatentAttention, layer: int, building: Building) -> LatentAttentionLayer:
    """Latent attention, with an indexer where it has its own."""
    indexer = None
    if isinstance(spec.index, OwnIndex):
        read = spec.query_rank or building.width
        indexer = Indexer(spec.index, building.rotary(spec.index.rope), building.width, read, layer)
    norms = LatentNorms(
        query=build_norm(spec.norm, spec.query_rank or 0),
        latent=build_norm(spec.norm, spec.kv_rank),
        rope=build_norm(spec.rope_norm, spec.rope_dim),
    )
    rotary = None if spec.rope is None else building.rotary(spec.rope)
    scoring = _scoring(spec.scale, building, rule=spec.mask, dropout=spec.dropout)
    built = LatentAttentionLayer(spec, norms, rotary, scoring, indexer, building.width, layer)
    if spec.position_scale is not None:
        built.query_stages = (scale_by_position(spec.position_scale),)
    return built


def build_disentangled(spec: DisentangledAttention, building: Building) -> DisentangledAttentionLayer:
    """Attention over contents and distances apart."""
    table = building.relative if isinstance(building.relative, DistanceTable) else None
    scale = ((1 + len(spec.terms)) * spec.head_dim) ** -0.5
    scoring = replace(
        _scoring(scale, building, Bidirectional(), spec.dropout, biased=True), alibi=shared_bias
    )
    return DisentangledAttentionLayer(spec, table, scoring, building.width)


def build_global_window(spec: GlobalWindowAttention, building: Building) -> GlobalWindowLayer:
    """Attention to a window and to global tokens."""
    scoring = _scoring(spec.head_dim**-0.5, building, Bidirectional(), spec.dropout, biased=True)
    return GlobalWindowLayer(spec, replace(scoring, alibi=shared_bias), building.width)


def build_block_sparse(spec: BlockSparseAttention, layer: int, building: Building) -> BlockSparseLayer:
    """Attention of blocks to some blocks."""
    scoring = _scoring(spec.head_dim**-0.5, building, Bidirectional(), spec.dropout, biased=True)
    return BlockSparseLayer(spec, replace(scoring, alibi=shared_bias), building.width, layer)


def build_gated_delta(spec: GatedDelta, layer: int, building: Building) -> GatedDeltaLayer:
    """Gated delta net.

    Raises:
        SpecError: value heads that do not divide among key heads.
    """
    if spec.value_heads % spec.key_heads:
        raise SpecError(
            f"layer {layer}: {spec.value_heads} value heads cannot share {spec.key_heads} key heads evenly",
            fix="make linear_num_value_heads a multiple of linear_num_key_heads",
        )
    return GatedDeltaLayer(spec, build_norm(spec.norm, spec.value_dim), building.width, layer)


def build_kimi_delta(spec: KimiDelta, layer: int, building: Building) -> KimiDeltaLayer:
    """Kimi delta attention."""
    return KimiDeltaLayer(spec, build_norm(spec.norm, spec.head_dim), building.width, layer)


def build_lightning(spec: Lightning, layer: int, building: Building) -> LightningLayer:
    """Lightning attention."""
    norm = build_norm(spec.norm, len(spec.rates) * spec.head_dim)
    return LightningLayer(spec, norm, building.width, layer)


def build_mamba1(spec: Mamba1, layer: int, building: Building) -> Mamba1Layer:
    """A selective state space."""
    norms = None
    if spec.parameter_norm is not None:
        step, into, out = (build_norm(spec.parameter_norm, n) for n in (spec.rank, spec.state, spec.state))
        norms = (step, into, out)
    return Mamba1Layer(spec, norms, building.width, layer)


def build_mamba2(spec: Mamba2, layer: int, building: Building) -> Mamba2Layer:
    """A state space with one decay per head.

    Raises:
        SpecError: heads that do not divide among groups.
    """
    if spec.heads % spec.groups:
        raise SpecError(
            f"layer {layer}: {spec.heads} heads cannot share {spec.groups} groups evenly",
            fix="make the number of mamba heads a multiple of the number of groups",
        )
    channels = spec.heads * spec.head_dim // spec.norm_groups
    # The weight spans all groups, so the layer holds it; the norm only normalises.
    norm = None if spec.norm is None else build_norm(RmsNorm(eps=spec.norm.eps, weight="none"), channels)
    return Mamba2Layer(spec, norm, building.width, layer)


def build_differential(
    spec: DifferentialAttention, layer: int, building: Building
) -> DifferentialAttentionLayer:
    """Differential attention."""
    norm = build_norm(spec.norm, 2 * spec.head_dim)
    scoring = _scoring(spec.head_dim**-0.5, building, dropout=spec.dropout)
    return DifferentialAttentionLayer(spec, norm, building.rotary(spec.rope), scoring, building.width, layer)


def build_mixture_of_attention(
    spec: MixtureOfAttention, layer: int, building: Building
) -> MixtureOfAttentionLayer:
    """A mixture of attention experts."""
    scoring = _scoring(spec.head_dim**-0.5, building, dropout=spec.dropout)
    return MixtureOfAttentionLayer(spec, building.rotary(spec.rope), scoring, building.width, layer)


def build_pair(spec: AttentionBesideMamba, layer: int, building: Building) -> PairLayer:
    """Attention beside a state space."""
    attention = build_attention(spec.attention, layer, building)
    mamba = build_mamba2(spec.mamba, layer, building)
    return PairLayer(attention, mamba, spec.attention_input, spec.attention_output)


def build_local(spec: LocalAttention, building: Building) -> LocalAttentionLayer:
    """Attention in chunks."""
    norm = None if spec.summaries is None else build_norm(spec.summaries.norm, building.width)
    eager = EagerAttend(scale=spec.scale, softmax_dtype=None)
    attend = choose_attend(eager, Bidirectional(), building.backend, alibi=True)
    scoring = Scoring(attend=attend, eager=eager, rule=Bidirectional(), dropout=spec.dropout)
    return LocalAttentionLayer(spec, norm, scoring, building.width)


def _scoring(
    scale: float,
    building: Building,
    rule: MaskRule = Causal(),
    dropout: float = 0.0,
    *,
    biased: bool = False,
) -> Scoring:
    eager = EagerAttend(scale=scale)
    attend = choose_attend(eager, rule, building.backend, alibi=biased)
    return Scoring(attend=attend, eager=eager, rule=rule, dropout=dropout)
