"""From router logits to chosen experts and their weights. All in float32.

M tokens, E experts, K chosen per token, G groups of experts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never, final

import torch
from torch import Tensor

from hf_modeling.spec import (
    ChosenSigmoid,
    ChosenSoftmax,
    Groups,
    PowerRenorm,
    Renorm,
    Router,
    SigmoidScores,
    SoftmaxScores,
    SparseMixer,
    SumRenorm,
)

Choice = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""From logits (M, E) and a correction (E) to weights (M, K) and experts (M, K)."""
Rescale = Callable[[Tensor], Tensor]
Score = Callable[[Tensor], Tensor]


def choice(router: Router, top_k: int) -> Choice:
    """The rule by which this router chooses."""
    match router.scores:
        case SoftmaxScores():
            return ScoreThenChoose(_softmax, top_k, router.groups)
        case SigmoidScores():
            return ScoreThenChoose(torch.sigmoid, top_k, router.groups)
        case ChosenSoftmax():
            return ChooseThenScore(_softmax, top_k)
        case ChosenSigmoid():
            return ChooseThenScore(torch.sigmoid, top_k)
        case SparseMixer(jitter=jitter):
            return MixTwo(jitter)
        case _:
            assert_never(router.scores)


def rescale(renorm: Renorm | None, scale: float) -> Rescale:
    """What is done to the weights of the chosen: renormalised, then times a constant."""
    match renorm:
        case None:
            return Rescaled(None, scale)
        case SumRenorm(eps=eps, floor=floor):
            return Rescaled(SumDivisor(eps, floor), scale)
        case PowerRenorm(p=p):
            return Rescaled(NormDivisor(p), scale)
        case _:
            assert_never(renorm)


@final
@dataclass(frozen=True, slots=True)
class ScoreThenChoose:
    """Every expert has a score; the best are chosen, by score plus correction, within the best groups."""

    score: Score
    top_k: int
    groups: Groups | None

    def __call__(self, logits_ME: Tensor, correction_E: Tensor | None) -> tuple[Tensor, Tensor]:
        scores_ME = self.score(logits_ME)
        ranks_ME = scores_ME if correction_E is None else scores_ME + correction_E.float()
        if self.groups is not None and self.groups.count > 1:
            ranks_ME = _within_groups(ranks_ME, self.groups)
        experts_MK = ranks_ME.topk(self.top_k, dim=-1).indices
        return scores_ME.gather(-1, experts_MK), experts_MK


@final
@dataclass(frozen=True, slots=True)
class ChooseThenScore:
    """The largest logits (plus correction) are chosen; their own logits become weights."""

    score: Score
    top_k: int

    def __call__(self, logits_ME: Tensor, correction_E: Tensor | None) -> tuple[Tensor, Tensor]:
        ranks_ME = logits_ME if correction_E is None else logits_ME + correction_E.float()
        experts_MK = ranks_ME.topk(self.top_k, dim=-1).indices
        return self.score(logits_ME.gather(-1, experts_MK)), experts_MK


@final
@dataclass(frozen=True, slots=True)
class MixTwo:
    """The largest logit, then the largest of the rest, each with the softmax of the logits near it."""

    jitter: float

    def __call__(self, logits_ME: Tensor, correction_E: Tensor | None) -> tuple[Tensor, Tensor]:
        first_M1 = logits_ME.argmax(-1, keepdim=True)
        rest_ME = logits_ME.scatter(-1, first_M1, float("-inf"))
        second_M1 = rest_ME.argmax(-1, keepdim=True)
        weights = (self._weight(logits_ME, logits_ME, first_M1), self._weight(logits_ME, rest_ME, second_M1))
        return torch.cat(weights, dim=-1), torch.cat((first_M1, second_M1), dim=-1)

    def _weight(self, logits_ME: Tensor, left_ME: Tensor, best_M1: Tensor) -> Tensor:
        most_M1 = left_ME.gather(-1, best_M1)
        far_ME = (most_M1 - logits_ME) / logits_ME.abs().clamp(min=most_M1) > 2 * self.jitter
        return left_ME.masked_fill(far_ME, float("-inf")).softmax(-1).gather(-1, best_M1)


@final
@dataclass(frozen=True, slots=True)
class Rescaled:
    """Weights over a divisor of their own, times a constant."""

    divisor: Score | None
    scale: float

    def __call__(self, weights_MK: Tensor) -> Tensor:
        if self.divisor is not None:
            weights_MK = weights_MK / self.divisor(weights_MK)
        return weights_MK * self.scale


@final
@dataclass(frozen=True, slots=True)
class SumDivisor:
    """Sum plus eps, at least floor."""

    eps: float
    floor: float

    def __call__(self, weights_MK: Tensor) -> Tensor:
        return (weights_MK.sum(-1, keepdim=True) + self.eps).clamp(min=self.floor)


@final
@dataclass(frozen=True, slots=True)
class NormDivisor:
    """The p-norm."""

    p: float

    def __call__(self, weights_MK: Tensor) -> Tensor:
        norm_M1: Tensor = torch.linalg.vector_norm(weights_MK, self.p, dim=-1, keepdim=True)
        return norm_M1


def _within_groups(ranks_ME: Tensor, groups: Groups) -> Tensor:
    """Ranks where experts outside the best groups cannot win."""
    ranks_MGE = ranks_ME.reshape(-1, groups.count, ranks_ME.shape[-1] // groups.count)
    if groups.score == "max":
        best_MG = ranks_MGE.amax(-1)
    else:
        best_MG = ranks_MGE.topk(2, dim=-1).values.sum(-1)
    kept_MG = torch.zeros_like(best_MG, dtype=torch.bool)
    kept_MG = kept_MG.scatter(-1, best_MG.topk(groups.keep, dim=-1).indices, True)
    return ranks_MGE.masked_fill(~kept_MG[..., None], float("-inf")).flatten(-2)


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)
