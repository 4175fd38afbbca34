"""Warpers: they reshape or truncate the distribution that is sampled from.

Each looks at the logits alone. Truncating ones set what they remove to `filter_value` and keep at least
`min_tokens_to_keep` tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import NEVER, positive_int, require

# Axes: B sequences, T tokens so far, V vocabulary, N candidates.

TOP_H_CANDIDATES = 100
"""Top-H measures entropy over this many of the likeliest tokens."""


@final
@dataclass(frozen=True, slots=True)
class TemperatureLogitsWarper:
    """Divides logits by `temperature`: below 1 sharpens the distribution, above 1 flattens it."""

    temperature: float

    def __post_init__(self) -> None:
        require(self.temperature > 0, "temperature", self.temperature, "above 0 (do_sample=False for greedy)")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores / self.temperature


@final
@dataclass(frozen=True, slots=True)
class TopKLogitsWarper:
    """Keeps the `top_k` likeliest tokens, and every token tied with the last of them."""

    top_k: int
    filter_value: float = NEVER
    min_tokens_to_keep: int = 1

    def __post_init__(self) -> None:
        positive_int("top_k", self.top_k)
        positive_int("min_tokens_to_keep", self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        kept = max(self.top_k, self.min_tokens_to_keep)
        return scores.masked_fill(scores < _kth_largest(scores, kept), self.filter_value)


@final
@dataclass(frozen=True, slots=True)
class TopPLogitsWarper:
    """Keeps the smallest set of likeliest tokens whose probabilities reach `top_p` (nucleus sampling)."""

    top_p: float
    filter_value: float = NEVER
    min_tokens_to_keep: int = 1

    def __post_init__(self) -> None:
        require(0 <= self.top_p <= 1, "top_p", self.top_p, "between 0 and 1")
        positive_int("min_tokens_to_keep", self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        ascending, order = scores.sort(dim=-1)
        removed = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - self.top_p
        removed[..., -self.min_tokens_to_keep :] = False
        return scores.masked_fill(_unsort(removed, order), self.filter_value)


@final
@dataclass(frozen=True, slots=True)
class TopHLogitsWarper:
    """Keeps likeliest tokens while their share of the entropy stays within `top_h` (arXiv 2509.02510)."""

    top_h: float
    filter_value: float = NEVER

    def __post_init__(self) -> None:
        require(0 < self.top_h <= 1, "top_h", self.top_h, "above 0 and at most 1")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        top_BN, order_BN = scores.topk(min(TOP_H_CANDIDATES, scores.shape[-1]), dim=-1)
        entropy_BN = torch.special.entr(top_BN.softmax(dim=-1))
        kept_BN = entropy_BN.cumsum(dim=-1) <= entropy_BN.sum(dim=-1, keepdim=True) * self.top_h
        kept_BN[:, 0] = True
        kept = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order_BN, kept_BN)
        return scores.masked_fill(~kept, self.filter_value)


@final
@dataclass(frozen=True, slots=True)
class MinPLogitsWarper:
    """Keeps tokens at least `min_p` times as likely as the likeliest one."""

    min_p: float
    filter_value: float = NEVER
    min_tokens_to_keep: int = 1

    def __post_init__(self) -> None:
        require(0 <= self.min_p <= 1, "min_p", self.min_p, "between 0 and 1")
        positive_int("min_tokens_to_keep", self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        probabilities = scores.softmax(dim=-1)
        removed = probabilities < self.min_p * probabilities.amax(dim=-1, keepdim=True)
        kept = probabilities.topk(min(self.min_tokens_to_keep, scores.shape[-1]), dim=-1).indices
        return scores.masked_fill(removed.scatter(-1, kept, False), self.filter_value)


@final
@dataclass(frozen=True, slots=True)
class TypicalLogitsWarper:
    """Keeps tokens whose surprise is nearest to the entropy, up to `mass` (arXiv 2202.00666)."""

    mass: float = 0.9
    filter_value: float = NEVER
    min_tokens_to_keep: int = 1

    def __post_init__(self) -> None:
        require(0 < self.mass < 1, "typical_p", self.mass, "between 0 and 1, both excluded")
        positive_int("min_tokens_to_keep", self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        log_p = scores.log_softmax(dim=-1)
        entropy = -(log_p * log_p.exp()).nansum(dim=-1, keepdim=True)
        distance, order = (-log_p - entropy).abs().sort(dim=-1)
        covered = scores.gather(-1, order).softmax(dim=-1).cumsum(dim=-1)
        last = (covered < self.mass).sum(dim=-1, keepdim=True).clamp(max=scores.shape[-1] - 1)
        removed = distance > distance.gather(-1, last)
        removed[..., : self.min_tokens_to_keep] = False
        return scores.masked_fill(_unsort(removed, order), self.filter_value)


@final
@dataclass(frozen=True, slots=True)
class EpsilonLogitsWarper:
    """Keeps tokens with a probability of at least `epsilon` (arXiv 2210.15191)."""

    epsilon: float
    filter_value: float = NEVER
    min_tokens_to_keep: int = 1

    def __post_init__(self) -> None:
        require(0 < self.epsilon < 1, "epsilon_cutoff", self.epsilon, "between 0 and 1, both excluded")
        positive_int("min_tokens_to_keep", self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        removed = scores.softmax(dim=-1) < self.epsilon
        removed &= scores < _kth_largest(scores, self.min_tokens_to_keep)
        return scores.masked_fill(removed, self.filter_value)


@final
@dataclass(frozen=True, slots=True)
class EtaLogitsWarper:
    """Keeps tokens above a cutoff that falls with entropy: min(e, sqrt(e) exp(-H)) (arXiv 2210.15191)."""

    epsilon: float
    filter_value: float = NEVER
    min_tokens_to_keep: int = 1

    def __post_init__(self) -> None:
        require(0 < self.epsilon < 1, "eta_cutoff", self.epsilon, "between 0 and 1, both excluded")
        positive_int("min_tokens_to_keep", self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        probabilities = scores.softmax(dim=-1)
        entropy = torch.special.entr(probabilities).sum(dim=-1, keepdim=True)
        cutoff = (self.epsilon**0.5 * (-entropy).exp()).clamp(max=self.epsilon)
        removed = probabilities < cutoff
        removed &= scores < _kth_largest(scores, self.min_tokens_to_keep)
        return scores.masked_fill(removed, self.filter_value)


Warper: TypeAlias = (
    TemperatureLogitsWarper
    | TopKLogitsWarper
    | TopPLogitsWarper
    | TopHLogitsWarper
    | MinPLogitsWarper
    | TypicalLogitsWarper
    | EpsilonLogitsWarper
    | EtaLogitsWarper
)
"""Those that look at logits alone and compare by value, so that equal ones can serve many rows at once."""


def _kth_largest(scores: Tensor, k: int) -> Tensor:
    """The k-th largest logit of every row, (B, 1); the smallest when the row is shorter."""
    return scores.topk(min(k, scores.shape[-1]), dim=-1).values[..., -1:]


def _unsort(mask: Tensor, order: Tensor) -> Tensor:
    """A mask over sorted positions as a mask over the vocabulary."""
    return torch.zeros_like(mask).scatter(-1, order, mask)
