"""Mixers of single families, and the sum of two mixers."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.attention import Attention
from hf_modeling.spec.linear import Mamba2
from hf_modeling.spec.norm import Norm
from hf_modeling.spec.rope import Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class DifferentialAttention:
    """The difference of two attentions over halves of the heads (arXiv 2410.05258), normalised per pair.

    `start` is the share of the second attention before training moves it.
    """

    heads: int
    kv_heads: int
    head_dim: int
    rope: Rope
    norm: Norm
    start: float
    bias: bool = False
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureOfAttention:
    """Each token's queries and outputs by `top_k` of `count` experts over shared keys and values (JetMoe)."""

    count: int
    top_k: int
    kv_heads: int
    head_dim: int
    rope: Rope
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rwkv:
    """The time mixing of RWKV-4 over `inner` channels."""

    inner: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Mlstm:
    """The matrix memory of xLSTM. Gates are capped by `gate_cap` tanh; `norm_eps` is that of each head."""

    heads: int
    key_dim: int
    value_dim: int
    norm_eps: float
    eps: float = 1e-6
    gate_cap: float | None = None
    bias: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionBesideMamba:
    """attention_output * attention(attention_input * x) + mamba(x) (Falcon H1)."""

    attention: Attention
    mamba: Mamba2
    attention_input: float = 1.0
    attention_output: float = 1.0
