"""Attention biases that fall with distance (arXiv 2108.12409).

Only the key's position appears: the part that depends on the query is the same for all keys, and a softmax
does not see it. B batch, N heads, S keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never, final

import torch
from torch import Tensor

from hf_modeling.spec import GeometricAlibi, InterleavedAlibi, MaskRule

if TYPE_CHECKING:
    from hf_modeling.step import Step


Bias = Callable[["Step", MaskRule], Tensor]
"""What is added to a layer's scores, (B or 1, N, 1 or T, S)."""


@final
class AlibiBias:
    """A bias (B or 1, N, 1, S) per head and key, worked out once a step for all layers that share it."""

    def __init__(self, spec: GeometricAlibi | InterleavedAlibi, heads: int, scale: float) -> None:
        self.slopes = _slopes(spec, heads, scale)
        self.rounded = isinstance(spec, GeometricAlibi) and spec.rounded
        self.scale = scale

    def __call__(self, step: Step, rule: MaskRule) -> Tensor:
        return step.once((self, rule), lambda: self._make(step, rule))

    def _make(self, step: Step, rule: MaskRule) -> Tensor:
        slopes_N11 = torch.tensor(self.slopes, device=step.device)[:, None, None]
        positions_B11S = step.key_positions(rule)[:, None, None, :]
        if self.rounded:
            # Falcon multiplies in bfloat16, and adds the product to scores that are still to be scaled.
            return (slopes_N11.bfloat16() * positions_B11S.bfloat16()).float() * self.scale
        return slopes_N11 * positions_B11S.float()


def _slopes(spec: GeometricAlibi | InterleavedAlibi, heads: int, scale: float) -> tuple[float, ...]:
    match spec:
        case GeometricAlibi():
            least = 2 ** math.floor(math.log2(heads))
            base = [2.0 ** (-8.0 * (i + 1) / least) for i in range(least)]
            between = [2.0 ** (-4.0 * (i + 1) / least) for i in range(0, 2 * (heads - least), 2)]
            return tuple(base + between)
        case InterleavedAlibi(max_bias=most):
            power = 2 ** math.ceil(math.log2(heads))
            slopes = [2.0 ** (-most * (i + 1) / power) for i in range(power)]
            return tuple(slopes if power == heads else (slopes[1::2] + slopes[::2])[:heads])
        case _:
            assert_never(spec)
