"""The next token: the likeliest, or drawn from the distribution with one random stream per sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, final

import torch
from torch import Tensor

from hf_modeling.generation.errors import OptionError

# Axes: B sequences, V vocabulary, N draws.

BLOCK = 64
"""Random numbers drawn at a time for each sequence."""


class Sampler(Protocol):
    """Chooses tokens (B,) from processed logits (B, V); `step` counts from 0."""

    def __call__(self, scores: Tensor, step: int, /) -> Tensor: ...


def greedy(scores: Tensor, step: int = 0) -> Tensor:
    """The likeliest token of every row; among equals the first."""
    return scores.argmax(dim=-1)


@final
class RandomSampler:
    """Draws from softmax(scores) with torch's global random stream, or the generator given."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self._generator = generator

    def __call__(self, scores: Tensor, step: int = 0) -> Tensor:
        uniform_B = torch.rand(
            scores.shape[0], dtype=torch.float64, device=scores.device, generator=self._generator
        )
        return draw(scores, uniform_B)


@final
class SeededSampler:
    """Draws each row from its own stream, so a row's tokens do not depend on the rows beside it.

    Args:
        seeds: one per row; equal seeds give equal streams on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._block_BN = torch.empty(len(seeds), 0, dtype=torch.float64)
        self._first = 0

    def __call__(self, scores: Tensor, step: int) -> Tensor:
        if step < self._first:
            raise OptionError("step", step, f"at least {self._first}: streams only go forwards")
        while step >= self._first + self._block_BN.shape[1]:
            self._first += self._block_BN.shape[1]
            rows = [torch.rand(BLOCK, dtype=torch.float64, generator=g) for g in self._generators]
            self._block_BN = torch.stack(rows).to(scores.device)
        return draw(scores, self._block_BN[:, step - self._first])


def uniform(seed: int, step: int) -> float:
    """The number that `SeededSampler` uses for this seed at this step."""
    generator = torch.Generator().manual_seed(seed)
    return float(torch.rand(step // BLOCK * BLOCK + BLOCK, dtype=torch.float64, generator=generator)[step])


def draw(scores: Tensor, uniform_B: Tensor) -> Tensor:
    """Tokens (B,) from logits (B, V) by inverting the distribution at `uniform_B`, in [0, 1).

    Sums run in double precision, so that tokens of a large vocabulary keep their share. A token of
    probability zero is never chosen.
    """
    cumulative_BV = scores.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    point_B1 = uniform_B[:, None] * cumulative_BV[:, -1:]
    tokens_B = torch.searchsorted(cumulative_BV, point_B1, right=True)[:, 0]
    return tokens_B.clamp(max=scores.shape[-1] - 1)
