"""What a stack knows about distances between tokens, made once per call for all its layers.

B batch, T queries, S keys, N heads, R rows of a table, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from hf_modeling.layers.base import Layer, parameter
from hf_modeling.spec import Bidirectional, BucketBias, DistanceTable, MaskRule

if TYPE_CHECKING:
    from hf_modeling.step import Step


class RelativeLayer(nn.Module):
    """A tensor for the step, which the layers find in `step.relative`."""

    if TYPE_CHECKING:

        def __call__(self, step: Step) -> Tensor: ...


@final
class BucketBiasLayer(RelativeLayer):
    """A bias (B or 1, N, T, S) by the bucket of each distance."""

    def __init__(self, spec: BucketBias) -> None:
        super().__init__()
        self.weight = parameter(spec.buckets, spec.heads)
        self.reach = spec.max_distance
        ahead = torch.arange(-self.reach, self.reach + 1, device="cpu")
        rows = bucket(ahead, spec.buckets, spec.max_distance, both_ways=spec.both_ways)
        self.register_buffer("rows", rows, persistent=False)

    if TYPE_CHECKING:
        rows: Tensor

    def forward(self, step: Step) -> Tensor:
        ahead_BTS = step.distances(Bidirectional()).clamp(-self.reach, self.reach)
        return self.weight[self.rows[ahead_BTS + self.reach]].permute(0, 3, 1, 2)

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)


@final
class DistanceTableLayer(RelativeLayer):
    """The vectors of all distances, (2 R, D): row R is distance 0."""

    def __init__(self, spec: DistanceTable, norm: Layer, width: int) -> None:
        super().__init__()
        self.weight = parameter(2 * spec.span, width)
        self.norm = norm

    def forward(self, step: Step) -> Tensor:
        return self.norm(self.weight)

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.weight, std=std)


@final
@dataclass(frozen=True, slots=True, eq=False)
class OwnBiasing:
    """The bias that one layer makes for itself."""

    layer: BucketBiasLayer

    def __call__(self, step: Step, rule: MaskRule) -> Tensor:
        return self.layer(step)


def shared_bias(step: Step, rule: MaskRule) -> Tensor:
    """The bias that the stack made for this step."""
    assert step.relative is not None, "a stack whose layers share a bias makes one"
    return step.relative


def bucket(ahead: Tensor, buckets: int, max_distance: int, *, both_ways: bool) -> Tensor:
    """The bucket of each distance, key's position minus query's (arXiv 1910.10683, section 2.1)."""
    if both_ways:
        buckets //= 2
        first, distance = (ahead > 0).long() * buckets, ahead.abs()
    else:
        first, distance = torch.zeros_like(ahead), (-ahead).clamp(min=0)
    exact = buckets // 2
    log = torch.log(distance.float() / exact) / math.log(max_distance / exact) * (buckets - exact)
    wide = (exact + log.clamp(min=0).long()).clamp(max=buckets - 1)
    return first + torch.where(distance < exact, distance, wide)
