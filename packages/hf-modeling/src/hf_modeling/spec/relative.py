"""Knowledge of distances that the layers of a stack share: made once per call, read by every layer."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.local import LocalBias
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketBias:
    """A trained number per head and bucket of distances, added to scores (T5, arXiv 1910.10683).

    Near distances have a bucket each; the others share buckets that widen by the logarithm, up to
    `max_distance`. With `both_ways` half of the buckets are for keys after the query; without, those share
    the bucket of distance 0.
    """

    buckets: int
    heads: int
    max_distance: int = 128
    both_ways: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceTable:
    """A trained vector per distance, with an optional norm, that each layer projects for itself (DeBERTa).

    Distances reach `span` to either side. With `buckets` those beyond half of it share places that widen by the
    logarithm, up to `max_distance`.
    """

    span: int
    max_distance: int
    buckets: int | None = None
    norm: Norm | None = None


Relative = BucketBias | DistanceTable | LocalBias
