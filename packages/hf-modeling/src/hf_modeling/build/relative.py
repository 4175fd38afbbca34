"""What the layers of a stack share about distances."""

from __future__ import annotations

from typing import assert_never

from hf_modeling.build.norm import build_norm
from hf_modeling.layers.local import LocalBiasLayer
from hf_modeling.layers.relative import BucketBiasLayer, DistanceTableLayer, RelativeLayer
from hf_modeling.spec import BucketBias, DistanceTable, LocalBias, Relative


def build_relative(spec: Relative, width: int) -> RelativeLayer:
    """The module that makes it, once per call."""
    match spec:
        case LocalBias():
            return LocalBiasLayer(spec)
        case BucketBias():
            return BucketBiasLayer(spec)
        case DistanceTable():
            return DistanceTableLayer(spec, build_norm(spec.norm, width), width)
        case _:
            assert_never(spec)
