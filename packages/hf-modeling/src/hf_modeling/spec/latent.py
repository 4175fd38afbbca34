"""Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), and the indexer that makes it sparse."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.attention import OutputGate, PositionScale
from hf_modeling.spec.mask import Causal, MaskRule
from hf_modeling.spec.norm import Norm
from hf_modeling.spec.rope import Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnIndex:
    """Each query looks at the `top_k` keys that a small attention of `heads` x `head_dim` scores highest.

    Scores are the heads' positive query-key products, weighted by a projection of the input
    (DeepSeek-V3.2). `rope` turns the first features of its heads.
    """

    heads: int
    head_dim: int
    top_k: int
    rope: Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviousIndex:
    """Each query looks at the keys that the nearest earlier layer with an index of its own chose."""


Index = OwnIndex | PreviousIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentAttention:
    """Keys and values of all heads unfolded from one latent vector of `kv_rank` numbers per token.

    A head's query and key are `nope_dim` features without position and `rope_dim` rotated ones; the rotated
    key is shared by all heads. Queries come through `query_rank` numbers, or directly where it is None.
    `norm` acts on both latents. `bias` belongs to the projections into latents and to the output. `gate` acts
    on the heads' values before the output projection. `rope_norm` acts on the shared key before it is rotated,
    `query_multiplier` and `latent_multiplier` on the normalised latents. With `raw_queries`, queries and the
    gate read the queries' latent both normalised and as it was.
    """

    heads: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    kv_rank: int
    query_rank: int | None
    norm: Norm
    rope: Rope | None
    scale: float
    mask: MaskRule = Causal()
    index: Index | None = None
    gate: OutputGate | None = None
    rope_norm: Norm | None = None
    query_multiplier: float = 1.0
    latent_multiplier: float = 1.0
    raw_queries: bool = False
    position_scale: PositionScale | None = None
    bias: bool = False
    dropout: float = 0.0
