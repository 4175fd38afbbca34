"""Normalisations."""

from __future__ import annotations

from typing import assert_never

from hf_modeling.layers.base import Identity, Layer
from hf_modeling.layers.norm import (
    EachHeadNormLayer,
    GatedRmsNormLayer,
    LayerNormLayer,
    LayerNormPlusOneLayer,
    RmsNormLayer,
    RmsNormNarrowLayer,
    RmsNormPlusOneLayer,
    RmsNormWideLayer,
    RmsScaleLayer,
)
from hf_modeling.spec import GatedRmsNorm, LayerNorm, Norm, RmsNorm


def build_norm(spec: Norm | None, features: int) -> Layer:
    """A normalisation of the last `features` numbers; the identity where there is none."""
    match spec:
        case None:
            return Identity()
        case RmsNorm(weight="none"):
            return RmsScaleLayer(features, spec.eps)
        case RmsNorm(weight="plus_one"):
            return RmsNormPlusOneLayer(features, spec.eps)
        case RmsNorm(cast="after_weight"):
            return RmsNormWideLayer(features, spec.eps)
        case RmsNorm(cast="input"):
            return RmsNormNarrowLayer(features, spec.eps)
        case RmsNorm():
            return RmsNormLayer(features, spec.eps)
        case GatedRmsNorm():
            return GatedRmsNormLayer(features, spec.eps, spec.rank)
        case LayerNorm(weight="plus_one"):
            return LayerNormPlusOneLayer(features, spec.eps, bias=spec.bias)
        case LayerNorm():
            weight = spec.weight == "plain"
            return LayerNormLayer(features, spec.eps, weight=weight, bias=weight and spec.bias)
        case _:
            assert_never(spec)


def build_each_head_norm(spec: Norm, heads: int, features: int) -> Layer:
    """A normalisation of each head by itself, with a weight of its own."""
    return EachHeadNormLayer(heads, features, spec.eps, centred=isinstance(spec, LayerNorm))
