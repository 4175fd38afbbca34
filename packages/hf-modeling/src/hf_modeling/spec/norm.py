"""Normalisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NormWeight = Literal["none", "plain", "plus_one"]
"""No weight; the weight itself; or a weight stored as its distance from one (`x * (1 + w)`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RmsNorm:
    """Divide by the root mean square, taken in float32.

    `cast` says where the result returns to the model's dtype: before the weight is applied (Llama) or after
    it (Gemma, OLMo 2). The two agree in float32 and differ in the last bit of bfloat16. A stream that is wider
    than the model is brought to the weight's dtype first with "input" (Mamba).
    """

    eps: float
    weight: NormWeight = "plain"
    cast: Literal["before_weight", "after_weight", "input"] = "before_weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerNorm:
    """Subtract the mean and divide by the standard deviation, both taken in float32."""

    eps: float
    weight: NormWeight = "plain"
    bias: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedRmsNorm:
    """y * sigmoid(up(silu(down(y)))) with y the root-mean-square norm: a gate through `rank` features (A.X K2)."""

    eps: float
    rank: int


Norm = RmsNorm | LayerNorm | GatedRmsNorm
