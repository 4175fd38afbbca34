"""Samplers follow the distribution, and seeded rows do not depend on their neighbours."""

from __future__ import annotations

import pytest
import torch

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.sampling import RandomSampler, SeededSampler, draw, greedy, uniform


def chi_square(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def test_draws_follow_the_distribution() -> None:
    scores = torch.tensor([0.5, -1.0, 2.0, 0.0, float("-inf"), 1.0])
    n = 20_000
    sampler = RandomSampler(torch.Generator().manual_seed(3))
    tokens = sampler(scores.expand(n, -1), 0)
    counts = torch.bincount(tokens, minlength=6).double()
    assert counts[4] == 0
    keep = [0, 1, 2, 3, 5]
    # 4 degrees of freedom: 18.5 is the 0.1 % point.
    assert chi_square(counts[keep], scores.softmax(-1).double()[keep]) < 18.5


def test_seeded_streams_follow_the_distribution_over_steps() -> None:
    scores, sampler = torch.tensor([[0.0, 1.0, 2.0]]), SeededSampler([11])
    tokens = torch.cat([sampler(scores, step) for step in range(4000)])
    assert chi_square(torch.bincount(tokens, minlength=3).double(), scores[0].softmax(-1).double()) < 13.8


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    together, alone = SeededSampler([5, 6, 7]), SeededSampler([6])
    for step in range(130):
        assert together(scores, step)[1] == alone(scores[1:2], step)[0]
        assert alone(scores[1:2], step) == draw(scores[1:2], torch.tensor([uniform(6, step)]).double())


def test_streams_only_go_forwards() -> None:
    sampler = SeededSampler([1])
    scores = torch.zeros(1, 4)
    sampler(scores, 100)
    with pytest.raises(OptionError, match="forwards"):
        sampler(scores, 3)


@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
def test_impossible_tokens_are_never_drawn(point: float) -> None:
    scores = torch.full((1, 9), float("-inf"))
    scores[0, 4] = 1.0
    assert draw(scores, torch.tensor([point], dtype=torch.float64)).tolist() == [4]


def test_the_likeliest_token_is_the_first_of_equals() -> None:
    assert greedy(torch.tensor([[1.0, 3.0, 3.0]])).tolist() == [1]


def test_the_global_stream_repeats_with_its_seed() -> None:
    scores = torch.zeros(8, 100)
    torch.manual_seed(4)
    first = RandomSampler()(scores, 0)
    torch.manual_seed(4)
    assert torch.equal(first, RandomSampler()(scores, 0))
