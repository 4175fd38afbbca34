"""Token mixers."""

from __future__ import annotations

from typing import assert_never

from hf_modeling.build.attention import build_attention
from hf_modeling.build.others import (
    build_block_sparse,
    build_differential,
    build_disentangled,
    build_gated_delta,
    build_global_window,
    build_kimi_delta,
    build_latent,
    build_lightning,
    build_local,
    build_mamba1,
    build_mamba2,
    build_mixture_of_attention,
    build_pair,
)
from hf_modeling.build.shared import Building
from hf_modeling.layers.base import Mixer
from hf_modeling.layers.conv import ShortConvLayer
from hf_modeling.layers.mamba import RgLruLayer
from hf_modeling.layers.special import MlstmLayer, RwkvLayer
from hf_modeling.spec import (
    Attention,
    AttentionBesideMamba,
    BlockSparseAttention,
    DifferentialAttention,
    DisentangledAttention,
    GatedDelta,
    GlobalWindowAttention,
    KimiDelta,
    LatentAttention,
    Lightning,
    LocalAttention,
    Mamba1,
    Mamba2,
    MixtureOfAttention,
    Mlstm,
    RgLru,
    Rwkv,
    ShortConv,
)
from hf_modeling.spec import Mixer as MixerSpec


def build_mixer(spec: MixerSpec, layer: int, building: Building) -> Mixer:
    """The mixer of layer number `layer`."""
    match spec:
        case Attention():
            return build_attention(spec, layer, building)
        case LatentAttention():
            return build_latent(spec, layer, building)
        case DisentangledAttention():
            return build_disentangled(spec, building)
        case GlobalWindowAttention():
            return build_global_window(spec, building)
        case BlockSparseAttention():
            return build_block_sparse(spec, layer, building)
        case GatedDelta():
            return build_gated_delta(spec, layer, building)
        case KimiDelta():
            return build_kimi_delta(spec, layer, building)
        case Lightning():
            return build_lightning(spec, layer, building)
        case ShortConv():
            return ShortConvLayer(spec, building.width, layer)
        case Mamba1():
            return build_mamba1(spec, layer, building)
        case Mamba2():
            return build_mamba2(spec, layer, building)
        case RgLru():
            return RgLruLayer(spec, building.width, layer)
        case DifferentialAttention():
            return build_differential(spec, layer, building)
        case MixtureOfAttention():
            return build_mixture_of_attention(spec, layer, building)
        case Rwkv():
            return RwkvLayer(spec.inner, building.width, layer)
        case Mlstm():
            return MlstmLayer(spec, building.width, layer)
        case AttentionBesideMamba():
            return build_pair(spec, layer, building)
        case LocalAttention():
            return build_local(spec, building)
        case _:
            assert_never(spec)
