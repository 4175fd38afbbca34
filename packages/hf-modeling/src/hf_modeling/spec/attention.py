"""Softmax attention over projected queries, keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_modeling.spec.mask import Causal, MaskRule
from hf_modeling.spec.norm import Norm
from hf_modeling.spec.relative import BucketBias
from hf_modeling.spec.rope import Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class QkNorm:
    """Normalisation of queries and keys before or after the rotation.

    `over` is what one normalisation spans: "head" each head with one shared weight, "each_head" each head
    with its own weight, "width" all heads together.
    """

    norm: Norm
    over: Literal["head", "each_head", "width"] = "head"
    place: Literal["before_rope", "after_rope"] = "before_rope"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnKeyValue:
    """Keys and values projected from the layer's input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyAsValue:
    """Values are the raw key projections; there is no value projection."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedKeyValue:
    """Keys and values of an earlier layer; there is neither projection nor cache."""

    layer: int


KeyValueSource = OwnKeyValue | KeyAsValue | SharedKeyValue


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorLogScale:
    """Queries times 1 + beta * ln(1 + floor((position + shift) / period))."""

    beta: float
    period: float
    shift: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpLogScale:
    """Queries times exp(beta * ln(1 + (position + shift) / period))."""

    beta: float
    period: float
    shift: int = 1


PositionScale = FloorLogScale | ExpLogScale


@dataclass(frozen=True, kw_only=True, slots=True)
class GeometricAlibi:
    """Bias slope * key position with slopes 2^(-8 i / n), odd powers filling in when heads are not 2^k (Bloom).

    `rounded` rounds slopes to bfloat16 and applies them before the score scale (Falcon).
    """

    rounded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class InterleavedAlibi:
    """Bias slope * key position with slopes 2^(-max_bias i / n) of the next power of two, odd ones first (MPT)."""

    max_bias: float = 8.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedBias:
    """The bias that the stack's `relative` makes for all its layers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnBias:
    """A bias by distance that belongs to the layer."""

    bias: BucketBias


Alibi = GeometricAlibi | InterleavedAlibi | SharedBias | OwnBias


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputGate:
    """The heads' output times an activation of a projection of the layer's input.

    `per` is one gate for each feature or for each head; `head_bias` adds a trained bias per head.
    """

    per: Literal["feature", "head"] = "feature"
    activation: Literal["sigmoid", "softplus"] = "sigmoid"
    head_bias: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockIndex:
    """Each key head looks at `top_blocks` blocks of `block` positions: those whose best key scores highest.

    The query's own block and those before it, `local_blocks` together, are always among them. Scores are the
    products of one small query for each of `heads`, as many as key heads, and one key for all (MiniMax M3).
    """

    heads: int
    head_dim: int
    block: int
    top_blocks: int
    local_blocks: int
    norm: Norm
    rope: Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Grouped-query attention: `heads` queries share `kv_heads` keys and values.

    None means absent. `scale` None is head_dim^-1/2; `value_dim` None is head_dim. `clip` bounds projected
    queries, keys and values; `value_rope` turns values too; `softcap` squeezes scores by tanh; `sinks` adds one
    trained logit per head to the softmax that takes weight from every key; `index` chooses among keys;
    `output_norm` acts before the output projection. `scores` is the dtype of the query-key product, `softmax`
    that of the normalisation.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int | None = None
    mask: MaskRule = Causal()
    rope: Rope | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    scale: float | None = None
    kv: KeyValueSource = OwnKeyValue()
    qk_norm: QkNorm | None = None
    value_norm: Norm | None = None
    value_rope: Rope | None = None
    key_multiplier: float = 1.0
    value_multiplier: float = 1.0
    clip: float | None = None
    softcap: float | None = None
    alibi: Alibi | None = None
    sinks: bool = False
    position_scale: PositionScale | None = None
    gate: OutputGate | None = None
    index: BlockIndex | None = None
    output_norm: Norm | None = None
    scores: Literal["input", "float32"] = "input"
    softmax: Literal["input", "float32"] = "float32"
    dropout: float = 0.0
