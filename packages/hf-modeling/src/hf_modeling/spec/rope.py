"""Rotary position embeddings. Formulas and their sources are in `hf_modeling.layers.rope`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearScaling:
    """All frequencies divided by `factor`."""

    factor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicScaling:
    """Base grows with the longest position seen once that exceeds `max_positions` (NTK by length)."""

    factor: float
    max_positions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NtkAlphaScaling:
    """Base multiplied once by alpha^(dim / (dim - 2))."""

    alpha: float


@dataclass(frozen=True, kw_only=True, slots=True)
class YarnScaling:
    """Fast frequencies kept, slow ones divided by `factor`, a ramp between; cos and sin times `attention_factor`."""

    factor: float
    original_positions: int
    attention_factor: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class LongRopeScaling:
    """A divisor per frequency: `short` up to `original_positions`, `long` beyond.

    cos and sin are multiplied by `short_attention_factor` or `long_attention_factor` with them.
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original_positions: int
    short_attention_factor: float
    long_attention_factor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Llama3Scaling:
    """Wavelengths beyond `original_positions / low` divided by `factor`, below `/ high` kept, smooth between."""

    factor: float
    low: float
    high: float
    original_positions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProportionalScaling:
    """Frequencies of the full `dim`, of which only the first `rotated_dim / 2` turn; others stand still."""

    rotated_dim: int
    factor: float = 1.0


RopeScaling = (
    LinearScaling
    | DynamicScaling
    | NtkAlphaScaling
    | YarnScaling
    | LongRopeScaling
    | Llama3Scaling
    | ProportionalScaling
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """Rotation of the first `dim` features of each head by position times theta^(-2j/dim).

    `layout` pairs feature j with j + dim/2 ("half") or 2j with 2j + 1 ("interleaved"). `direction` -1 turns
    the other way. `apply` is the dtype in which the rotation is computed: the input's, or float32.
    """

    theta: float
    dim: int
    layout: Literal["half", "interleaved"] = "half"
    direction: Literal[1, -1] = 1
    scaling: RopeScaling | None = None
    apply: Literal["input", "float32"] = "input"
