"""No n-gram twice: within the text so far, or from the encoder's input."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import NEVER, per_beam, positive_int

# Axes: B sequences, T tokens so far, V vocabulary, N size of an n-gram, W windows of N tokens.


@final
class NoRepeatNGramLogitsProcessor:
    """Forbids tokens that would complete an n-gram that the sequence holds already, prompt included.

    Args:
        ngram_size: N; 1 forbids every token that occurred.
        prompt_ignore_length: leading tokens of each sequence that do not count (its padding), (B,).
    """

    def __init__(self, ngram_size: int, prompt_ignore_length: Tensor | None = None) -> None:
        self.ngram_size = positive_int("no_repeat_ngram_size", ngram_size)
        self.prompt_ignore_length = prompt_ignore_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[-1] < self.ngram_size:
            return scores
        start = None if self.prompt_ignore_length is None else self.prompt_ignore_length.to(input_ids.device)
        return _forbid_completions(input_ids, input_ids, scores, self.ngram_size, start)


@final
class EncoderNoRepeatNGramLogitsProcessor:
    """Forbids tokens that would complete an n-gram of the encoder's input (B / beams, S)."""

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Tensor) -> None:
        self.ngram_size = positive_int("encoder_no_repeat_ngram_size", encoder_ngram_size)
        self.encoder_input_ids = encoder_input_ids.reshape(-1, encoder_input_ids.shape[-1])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        source = per_beam(self.encoder_input_ids, scores.shape[0])
        if source.shape[-1] < self.ngram_size or input_ids.shape[-1] < self.ngram_size - 1:
            return scores
        return _forbid_completions(input_ids, source, scores, self.ngram_size, None)


def _forbid_completions(
    ids: Tensor, source: Tensor, scores: Tensor, size: int, start: Tensor | None
) -> Tensor:
    """Logits where a last token of any window of `source` whose first tokens end `ids` is impossible."""
    prefix = ids[:, ids.shape[-1] + 1 - size :]
    windows_BWN = source.unfold(1, size, 1)
    matches_BW = (windows_BWN[..., :-1] == prefix[:, None, :]).all(dim=-1)
    if start is not None:
        matches_BW &= torch.arange(matches_BW.shape[1], device=ids.device) >= start[:, None]
    # Windows that do not match, and ids beyond the head's vocabulary, mark a spare last column.
    vocabulary = scores.shape[-1]
    banned = torch.zeros(scores.shape[0], vocabulary + 1, dtype=torch.bool, device=scores.device)
    last_BW = torch.where(matches_BW, windows_BWN[..., -1].clamp(max=vocabulary), vocabulary)
    return scores.masked_fill(banned.scatter_(1, last_BW, True)[:, :vocabulary], NEVER)
