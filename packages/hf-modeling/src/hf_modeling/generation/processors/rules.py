"""Rules on the whole row: allowed tokens by prefix, clean numbers, normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, final

import torch
from torch import Tensor

from hf_modeling.generation.errors import UnsatisfiableConstraintError
from hf_modeling.generation.processors.base import NEVER, positive_int

# Axes: B sequences, T tokens so far, V vocabulary.

AllowedTokens: TypeAlias = Callable[[int, Tensor], Sequence[int]]
"""From the index of a prompt and the ids so far (T,) to the tokens that may come next."""


@final
class PrefixConstrainedLogitsProcessor:
    """Allows only the tokens that `prefix_allowed_tokens_fn` names for each sequence."""

    def __init__(self, prefix_allowed_tokens_fn: AllowedTokens, num_beams: int = 1) -> None:
        self.allowed = prefix_allowed_tokens_fn
        self.num_beams = positive_int("num_beams", num_beams)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        mask = torch.full_like(scores, NEVER)
        for row, ids_T in enumerate(input_ids):
            allowed = self.allowed(row // self.num_beams, ids_T)
            if len(allowed) == 0:
                raise UnsatisfiableConstraintError(row, "prefix_allowed_tokens_fn returned an empty list")
            mask[row, list(allowed)] = 0.0
        constrained = scores + mask
        # When every beam's allowed tokens were ruled out by another processor, the constraint wins.
        dead = constrained.amax(dim=-1).isneginf().view(-1, self.num_beams).all(dim=-1, keepdim=True)
        return torch.where(dead.repeat_interleave(self.num_beams, dim=0), mask, constrained)


@final
class InfNanRemoveLogitsProcessor:
    """Replaces nan by 0 and infinities by the largest and smallest finite number."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.nan_to_num()


@final
class LogitNormalization:
    """Log-softmax, so that scores compare as probabilities after other processors changed them."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores.log_softmax(dim=-1)
