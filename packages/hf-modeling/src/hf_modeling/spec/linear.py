"""Mixers with a state of fixed size: convolutions, state spaces and linear attention with decay."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.norm import Norm, RmsNorm


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortConv:
    """out(C * conv(B * x)): B, C and x are projections, conv a causal depthwise convolution. LFM2."""

    width: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedDelta:
    """Gated delta net (arXiv 2412.06464): the delta rule with one decay per value head.

    `conv` is the width of the convolution before the activation of queries, keys and values. `beta_scale`
    2 lets a write reverse what it replaces. The output is `norm` of each head times silu of a gate.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int
    norm: Norm
    activation: PlainActivation = "silu"
    beta_scale: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class KimiDelta:
    """Kimi delta attention (arXiv 2510.26692): the delta rule with one decay per key channel.

    Decay and output gate are projections through `rank` features, or direct ones where it is None; the gate
    acts by a sigmoid. A log decay is -exp(A) softplus(f), or where it has a `lowest` value, lowest sigmoid(exp(A) f).
    """

    heads: int
    head_dim: int
    rank: int | None
    conv: int
    norm: Norm
    lowest: float | None = None
    activation: PlainActivation = "silu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lightning:
    """Linear attention with a constant decay for each head (arXiv 2501.08313): exp(-rate) per token."""

    head_dim: int
    rates: tuple[float, ...]
    norm: Norm
    activation: PlainActivation = "silu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mamba1:
    """Selective state space (arXiv 2312.00752): `inner` channels of `state` numbers, steps through `rank`.

    `parameter_norm` normalises step, input and output parameters before use (Jamba, Falcon Mamba).
    """

    inner: int
    state: int
    rank: int
    conv: int
    bias: bool = False
    conv_bias: bool = True
    activation: PlainActivation = "silu"
    parameter_norm: Norm | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mamba2:
    """State space duality (arXiv 2405.21060): `heads` of `head_dim` channels, `groups` of input/output maps.

    Steps are clamped to `step_limits`. `norm` acts on the gated output in `norm_groups` parts, or with
    `norm_first` before it is gated. `bias` belongs to the projection in, `output_bias` to the one out.
    `multipliers` act on the five parts z, x, B, C, dt of the input projection, `input_multiplier` before it and
    `output_multiplier` at the very end (Falcon H1).
    """

    heads: int
    head_dim: int
    groups: int
    state: int
    conv: int
    norm: RmsNorm | None
    norm_groups: int = 1
    norm_first: bool = False
    bias: bool = False
    output_bias: bool = False
    conv_bias: bool = True
    activation: PlainActivation = "silu"
    step_limits: tuple[float, float] = (0.0, float("inf"))
    multipliers: tuple[float, float, float, float, float] | None = None
    input_multiplier: float = 1.0
    output_multiplier: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RgLru:
    """Real-gated linear recurrent unit between a convolution and a gate (Griffin, arXiv 2402.19427)."""

    inner: int
    heads: int
    conv: int
    activation: PlainActivation
