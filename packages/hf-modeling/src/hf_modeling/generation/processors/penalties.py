"""Penalties on what was said already, and on saying too much."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import TokenIds, as_index, per_beam, require

# Axes: B sequences, T tokens so far, V vocabulary, S prompt tokens.


@final
class RepetitionPenaltyLogitsProcessor:
    """Makes tokens that occurred less likely: positive logits are divided by `penalty`, negative multiplied.

    Args:
        penalty: above 1 discourages repetition, below 1 encourages it (arXiv 1909.05858).
        prompt_ignore_length: how many leading tokens do not count; one number, or one per sequence.
    """

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor | None = None) -> None:
        require(penalty > 0, "repetition_penalty", penalty, "above 0")
        self.penalty = penalty
        self.prompt_ignore_length = prompt_ignore_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # Ignored and unknown tokens point at a spare column past the vocabulary.
        vocabulary = scores.shape[-1]
        ids_BT = _without_prompt(input_ids, self.prompt_ignore_length, vocabulary).clamp(max=vocabulary)
        padded = torch.nn.functional.pad(scores, (0, 1))
        seen = padded.gather(1, ids_BT)
        punished = torch.where(seen < 0, seen * self.penalty, seen / self.penalty)
        return padded.scatter(1, ids_BT, punished)[:, :vocabulary]


@final
class EncoderRepetitionPenaltyLogitsProcessor:
    """Makes tokens of the encoder's input more likely (`penalty` above 1) or less (below 1)."""

    def __init__(self, penalty: float, encoder_input_ids: Tensor) -> None:
        require(penalty > 0, "encoder_repetition_penalty", penalty, "above 0")
        self.penalty = penalty
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        source_BS = per_beam(self.encoder_input_ids, scores.shape[0])
        score = scores.gather(1, source_BS)
        return scores.scatter(
            1, source_BS, torch.where(score < 0, score / self.penalty, score * self.penalty)
        )


@final
class FrequencyPenaltyLogitsProcessor:
    """Subtracts `penalty` from a token's logit for every time it was generated.

    Args:
        penalty: any number, 0 does nothing; the API of hosted models allows -2 to 2.
        prompt_ignore_length: how many leading tokens do not count, usually the prompt's length.
    """

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor = 0) -> None:
        self.penalty = penalty
        self.prompt_ignore_length = prompt_ignore_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores - self.penalty * _counts(input_ids, scores, self.prompt_ignore_length)


@final
class PresencePenaltyLogitsProcessor:
    """Subtracts `penalty` once from the logit of every token that was generated.

    Args:
        penalty: any number, 0 does nothing; the API of hosted models allows -2 to 2.
        prompt_ignore_length: how many leading tokens do not count, usually the prompt's length.
    """

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor = 0) -> None:
        self.penalty = penalty
        self.prompt_ignore_length = prompt_ignore_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores - self.penalty * _counts(input_ids, scores, self.prompt_ignore_length).clamp(max=1)


@final
class ExponentialDecayLengthPenalty:
    """Lifts the end token's logit exponentially once the text is longer than a given length.

    Args:
        exponential_decay_length_penalty: (new tokens after which it starts, factor per token).
        eos_token_id: the end tokens.
        input_ids_seq_length: the prompt's length.
    """

    def __init__(
        self,
        exponential_decay_length_penalty: tuple[int, float],
        eos_token_id: TokenIds,
        input_ids_seq_length: int,
    ) -> None:
        start, self.factor = exponential_decay_length_penalty
        self.start = start + input_ids_seq_length
        self.eos = as_index(eos_token_id, "eos_token_id")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        beyond = input_ids.shape[-1] - self.start
        if beyond <= 0:
            return scores
        eos = self.eos.to(scores.device)
        logits = scores[:, eos]
        # Growing the magnitude lifts negative logits too; an impossible token stays impossible.
        bonus = (logits.abs() * (self.factor**beyond - 1)).masked_fill(~logits.isfinite(), 0.0)
        return scores.index_copy(1, eos, logits + bonus)


def _without_prompt(input_ids: Tensor, ignored: int | Tensor | None, spare: int) -> Tensor:
    """Ids (B, T) where ignored leading tokens are cut, or replaced by `spare` when rows differ."""
    if ignored is None:
        return input_ids
    if isinstance(ignored, int):
        return input_ids[:, ignored:]
    require(ignored.shape == input_ids.shape[:1], "prompt_ignore_length", ignored, "one length per sequence")
    positions_T = torch.arange(input_ids.shape[1], device=input_ids.device)
    return input_ids.masked_fill(positions_T < ignored.to(input_ids.device)[:, None], spare)


def _counts(input_ids: Tensor, scores: Tensor, ignored: int | Tensor) -> Tensor:
    """How often each token was generated, (B, V)."""
    vocabulary = scores.shape[-1]
    ids_BT = _without_prompt(input_ids, ignored, vocabulary).clamp(max=vocabulary)
    counts = scores.new_zeros(scores.shape[0], vocabulary + 1)
    return counts.scatter_add(1, ids_BT, torch.ones_like(ids_BT, dtype=scores.dtype))[:, :vocabulary]
