"""Token mixers: what moves information between positions.

A new mechanism is one file here with its dataclass, one file in `hf_modeling.layers` with its layer, one arm
in `hf_modeling.build.mixer`, and its name in this union.
"""

from __future__ import annotations

from hf_modeling.spec.attention import Attention
from hf_modeling.spec.disentangled import DisentangledAttention
from hf_modeling.spec.latent import LatentAttention
from hf_modeling.spec.linear import GatedDelta, KimiDelta, Lightning, Mamba1, Mamba2, RgLru, ShortConv
from hf_modeling.spec.local import LocalAttention
from hf_modeling.spec.sparse import BlockSparseAttention, GlobalWindowAttention
from hf_modeling.spec.special import (
    AttentionBesideMamba,
    DifferentialAttention,
    MixtureOfAttention,
    Mlstm,
    Rwkv,
)

Mixer = (
    Attention
    | LatentAttention
    | DisentangledAttention
    | GlobalWindowAttention
    | BlockSparseAttention
    | GatedDelta
    | KimiDelta
    | Lightning
    | ShortConv
    | Mamba1
    | Mamba2
    | RgLru
    | DifferentialAttention
    | MixtureOfAttention
    | Rwkv
    | Mlstm
    | AttentionBesideMamba
    | LocalAttention
)
