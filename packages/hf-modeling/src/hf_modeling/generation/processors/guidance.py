"""Classifier-free guidance: pull the distribution away from an unconditional one."""

from __future__ import annotations

from typing import Protocol, final

import torch
from torch import Tensor

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.processors.base import NEVER, positive_int, require

# Axes: B sequences, V vocabulary.


@final
class ClassifierFreeGuidanceLogitsProcessor:
    """Joins conditional and unconditional halves of one batch (2B, V) into guided logits (B, V)."""

    def __init__(self, guidance_scale: float) -> None:
        require(guidance_scale > 1, "guidance_scale", guidance_scale, "above 1")
        self.guidance_scale = guidance_scale

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        conditional, unconditional = split_halves(input_ids, scores)
        return unconditional + (conditional - unconditional) * self.guidance_scale


@final
class DiaClassifierFreeGuidanceLogitsProcessor:
    """As above around the conditional logits, of which the `guidance_top_k` best remain."""

    def __init__(self, guidance_scale: float, guidance_top_k: int | None = None) -> None:
        require(guidance_scale > 1, "guidance_scale", guidance_scale, "above 1")
        self.guidance_scale = guidance_scale
        self.top_k = None if guidance_top_k is None else positive_int("guidance_top_k", guidance_top_k)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        conditional, unconditional = split_halves(input_ids, scores)
        guided = conditional + (conditional - unconditional) * self.guidance_scale
        if self.top_k is None:
            return guided
        best = guided.topk(self.top_k, dim=-1).indices
        return torch.full_like(guided, NEVER).scatter(-1, best, conditional.gather(-1, best))


class Unconditional(Protocol):
    """Gives the logits (B, V) of a model that does not see the prompt, for the sequences so far."""

    def __call__(self, input_ids: Tensor, /) -> Tensor: ...


@final
class UnbatchedClassifierFreeGuidanceLogitsProcessor:
    """Guides log-probabilities away from those of `unconditional`, which runs the model a second time."""

    def __init__(self, guidance_scale: float, unconditional: Unconditional) -> None:
        self.guidance_scale = guidance_scale
        self.unconditional = unconditional

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        conditional = scores.log_softmax(dim=-1)
        if self.guidance_scale == 1:
            return conditional
        base = self.unconditional(input_ids).log_softmax(dim=-1)
        return base + self.guidance_scale * (conditional - base)


def split_halves(input_ids: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Conditional and unconditional logits of a doubled batch.

    Raises:
        OptionError: the batch of logits is not twice that of ids.
    """
    if scores.shape[0] != 2 * input_ids.shape[0]:
        raise OptionError("scores", tuple(scores.shape), f"logits of {2 * input_ids.shape[0]} sequences")
    conditional, unconditional = scores.chunk(2, dim=0)
    return conditional, unconditional
