"""Processors of speech models: Whisper's timestamps, Bark's and Dia's code books."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import NEVER, TokenIds, as_index, positive_int, require

# Axes: B sequences, T tokens so far, V vocabulary, C channels (code books).


@final
class WhisperTimeStampLogitsProcessor:
    """Keeps Whisper's timestamps in pairs, growing, and first.

    Args:
        no_timestamps_token_id: the token before the first timestamp in the vocabulary.
        eos_token_id: the first special token; text tokens come before it.
        begin_index: tokens of the prompt.
        max_initial_timestamp_index: the latest first timestamp, in steps of 20 ms.
        detect_timestamp_from_logprob: choose a timestamp when all together are likelier than any text.
    """

    def __init__(
        self,
        *,
        no_timestamps_token_id: int,
        eos_token_id: int,
        begin_index: int,
        max_initial_timestamp_index: int | None = None,
        detect_timestamp_from_logprob: bool = True,
    ) -> None:
        self.no_timestamps = no_timestamps_token_id
        self.first = no_timestamps_token_id + 1
        self.eos = eos_token_id
        self.begin_index = begin_index
        self.max_initial = max_initial_timestamp_index
        self.detect = detect_timestamp_from_logprob

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, self.no_timestamps] = NEVER
        for row, ids in enumerate(input_ids.tolist()):
            self._pair(scores[row], ids[self.begin_index :])
        if input_ids.shape[1] == self.begin_index:
            scores[:, : self.first] = NEVER
            if self.max_initial is not None:
                scores[:, self.first + self.max_initial + 1 :] = NEVER
        if self.detect:
            log_p = scores.float().log_softmax(dim=-1)
            stamps, text = log_p[:, self.first :].logsumexp(dim=-1), log_p[:, : self.first].amax(dim=-1)
            scores[:, : self.first].masked_fill_((stamps > text)[:, None], NEVER)
        return scores

    def _pair(self, scores_V: Tensor, generated: list[int]) -> None:
        """Forbid, in place, what may not follow these generated tokens."""
        stamped = [token for token in generated if token >= self.first]
        ends_with = bool(generated) and generated[-1] >= self.first
        closed = len(generated) < 2 or generated[-2] >= self.first
        if ends_with and closed:
            scores_V[self.first :] = NEVER
        elif ends_with:
            scores_V[: self.eos] = NEVER
        if stamped:
            # An open pair may close at its own time; a new one has to start later.
            earliest = stamped[-1] if ends_with and not closed else stamped[-1] + 1
            scores_V[self.first : earliest] = NEVER


@final
class WhisperNoSpeechDetection:
    """Changes nothing; remembers the probability of `no_speech_token` at the start, in `no_speech_prob`."""

    def __init__(self, no_speech_token: int, begin_index: int, scores_is_logprobs: bool = False) -> None:
        self.no_speech_token = no_speech_token
        self.begin_index = begin_index
        self.scores_is_logprobs = scores_is_logprobs
        self.no_speech_prob: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == self.begin_index:
            probabilities = scores.exp() if self.scores_is_logprobs else scores.float().softmax(dim=-1)
            self.no_speech_prob = probabilities[:, self.no_speech_token]
        return scores


@final
class AlternatingCodebooksLogitsProcessor:
    """Allows tokens of Bark's two coarse code books in turn."""

    def __init__(self, input_start_len: int, semantic_vocab_size: int, codebook_size: int) -> None:
        self.input_start_len = positive_int("input_start_len", input_start_len, least=0)
        self.first = semantic_vocab_size
        self.second = semantic_vocab_size + codebook_size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        if (input_ids.shape[-1] - self.input_start_len) % 2 == 0:
            scores[:, : self.first] = NEVER
            scores[:, self.second :] = NEVER
        else:
            scores[:, : self.second] = NEVER
        return scores


@final
class BarkEosPrioritizerLogitsProcessor:
    """Ends the sequence as soon as an end token has a probability above `min_eos_p`; None never does."""

    def __init__(
        self, eos_token_id: TokenIds, min_eos_p: float | None, device: torch.device | str = "cpu"
    ) -> None:
        require(min_eos_p is None or min_eos_p > 0, "min_eos_p", min_eos_p, "above 0")
        self.eos = as_index(eos_token_id, "eos_token_id", device)
        self.min_eos_p = min_eos_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.min_eos_p is None:
            return scores
        eos = self.eos.to(scores.device)
        ends = (scores.float().softmax(dim=-1)[:, eos] > self.min_eos_p).any(dim=1, keepdim=True)
        only_end = torch.full_like(scores, NEVER).index_copy_(1, eos, scores[:, eos])
        return torch.where(ends, only_end, scores)


@final
class DiaEOSChannelFilterLogitsProcessor:
    """Lets only Dia's first channel end, when that is its likeliest choice; rows are (B * C, V)."""

    def __init__(self, num_channels: int, eos_token_id: int) -> None:
        self.num_channels = positive_int("num_channels", num_channels)
        self.eos = positive_int("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores_BCV = scores.reshape(-1, self.num_channels, scores.shape[-1]).clone()
        scores_BCV[:, 1:, self.eos :] = NEVER
        scores_BCV[:, 0, self.eos + 1 :] = NEVER
        rows = scores_BCV.view(-1, scores.shape[-1])
        ends = (rows.argmax(dim=-1) == self.eos)[:, None]
        is_eos = torch.arange(rows.shape[-1], device=rows.device) == self.eos
        before = torch.arange(rows.shape[-1], device=rows.device) < self.eos
        return rows.masked_fill(torch.where(ends, before, is_eos), NEVER)


@final
class DiaEOSDelayPatternLogitsProcessor:
    """Forces Dia's channels to end one after the other once the first ended. It counts its calls.

    Args:
        delay_pattern: steps after which each channel ends.
        eos_token_id: the end token.
        max_generation_len: length at which channels start to end anyway.
    """

    def __init__(self, delay_pattern: Sequence[int], eos_token_id: int, max_generation_len: int) -> None:
        self.delay_C = torch.tensor(list(delay_pattern))
        self.eos = eos_token_id
        self.last = max_generation_len - max(delay_pattern) - 1
        self._countdown_BC: Tensor | None = None
        self._ending_B: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores_BCV = scores.reshape(-1, len(self.delay_C), scores.shape[-1]).clone()
        if self._countdown_BC is None or self._ending_B is None:
            self._countdown_BC = self.delay_C.to(scores.device).repeat(scores_BCV.shape[0], 1)
            self._ending_B = torch.zeros(scores_BCV.shape[0], dtype=torch.bool, device=scores.device)
        first_ends = scores_BCV[:, 0].argmax(dim=-1) == self.eos
        self._ending_B = self._ending_B | first_ends | (input_ids.shape[1] == self.last)
        forced = self._ending_B[:, None] & (self._countdown_BC == 0)
        scores_BCV[forced] = NEVER
        scores_BCV[..., self.eos] = scores_BCV[..., self.eos].masked_fill(forced, 0.0)
        self._countdown_BC = self._countdown_BC - self._ending_B[:, None].long()
        return scores_BCV.view(-1, scores.shape[-1])
