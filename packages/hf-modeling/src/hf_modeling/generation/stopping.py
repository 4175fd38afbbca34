"""Stopping criteria: when a sequence is finished, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, final

import torch
from torch import Tensor

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.processors.base import TokenIds, as_index
from hf_modeling.generation.text import REPLACEMENT, Detokenizer

# Axes: B sequences, T tokens so far.

CONTEXT_TOKENS = 4
"""Tokens decoded before those that a stop string can span, so that decoders see what joins them."""


class FinishReason(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    """The model chose an end token."""
    LENGTH = "length"
    """The length asked for, or the context, is used up."""
    STOP_STRING = "stop_string"
    """The text holds a stop string."""
    TIME = "time"
    """`max_time` is over."""
    CRITERIA = "criteria"
    """A custom stopping criterion said so."""
    CANCELLED = "cancelled"
    """The caller cancelled the request."""
    ERROR = "error"
    """The request failed; its result carries the error."""


class StoppingCriteria(Protocol):
    """Says which sequences are finished. Any function of this shape is one."""

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None, /) -> Tensor:
        """Booleans (B,) from ids (B, T) and, when scores are kept, the scores of every step."""
        ...


@final
class MaxLengthCriteria:
    """Finished at `max_length` tokens, the prompt included."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None = None) -> Tensor:
        return _all(input_ids, input_ids.shape[1] >= self.max_length)


@final
class MaxTimeCriteria:
    """Finished `max_time` seconds after it was made."""

    def __init__(self, max_time: float) -> None:
        self.max_time = max_time
        self._start = time.monotonic()

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None = None) -> Tensor:
        return _all(input_ids, time.monotonic() - self._start > self.max_time)


@final
class EosTokenCriteria:
    """Finished when the last token is an end token."""

    def __init__(self, eos_token_id: TokenIds) -> None:
        self.eos = as_index(eos_token_id, "eos_token_id")

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None = None) -> Tensor:
        self.eos = self.eos.to(input_ids.device)
        return torch.isin(input_ids[:, -1], self.eos)


@final
class StopStringCriteria:
    """Finished when the last token completes a stop string, wherever token boundaries fall.

    The string may begin in the prompt, and the last token may go on after it.
    """

    def __init__(self, tokenizer: Detokenizer, stop_strings: str | Sequence[str]) -> None:
        self.stop_strings = as_stop_strings(stop_strings)
        self._tokenizer = tokenizer
        # A token is at least one byte, so no stop string spans more tokens than it has bytes.
        self._window = max(len(s.encode()) for s in self.stop_strings) + CONTEXT_TOKENS

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None = None) -> Tensor:
        tails = input_ids[:, -self._window :].tolist()
        return torch.tensor([self._completed(tail) for tail in tails], device=input_ids.device)

    def _completed(self, tail: list[int]) -> bool:
        text = self._tokenizer.decode(tail, skip_special_tokens=False)
        before = self._tokenizer.decode(tail[:-1], skip_special_tokens=False).rstrip(REPLACEMENT)
        return any(text.find(s, max(0, len(before) - len(s) + 1)) >= 0 for s in self.stop_strings)


@final
class ConfidenceCriteria:
    """Finished when the last token of the first sequence had a probability below the threshold."""

    def __init__(self, assistant_confidence_threshold: float) -> None:
        self.threshold = assistant_confidence_threshold

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None = None) -> Tensor:
        if not scores:
            raise OptionError("scores", scores, "the scores of every step, kept with output_scores=True")
        unsure = scores[-1][0].softmax(-1)[input_ids[0, -1]] < self.threshold
        return _all(input_ids, bool(unsure))


@final
class StoppingCriteriaList(list[StoppingCriteria]):
    """A sequence is finished when any of these says so."""

    def __call__(self, input_ids: Tensor, scores: tuple[Tensor, ...] | None = None) -> Tensor:
        done_B = _all(input_ids, False)
        for criterion in self:
            done_B = done_B | criterion(input_ids, scores)
        return done_B

    @property
    def max_length(self) -> int | None:
        """The first length limit in the list."""
        return next((c.max_length for c in self if isinstance(c, MaxLengthCriteria)), None)


def reason_of(criterion: StoppingCriteria) -> FinishReason:
    """The reason that a criterion stands for."""
    match criterion:
        case EosTokenCriteria():
            return FinishReason.STOP
        case StopStringCriteria():
            return FinishReason.STOP_STRING
        case MaxLengthCriteria():
            return FinishReason.LENGTH
        case MaxTimeCriteria():
            return FinishReason.TIME
        case _:
            return FinishReason.CRITERIA


def as_stop_strings(stop_strings: str | Sequence[str]) -> tuple[str, ...]:
    """One or several stop strings as a tuple.

    Raises:
        OptionError: there is none, or one is empty, which every text would hold.
    """
    strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
    if not strings or not all(strings):
        raise OptionError("stop_strings", stop_strings, "one or more strings of at least one character")
    return strings


def _all(input_ids: Tensor, value: bool) -> Tensor:
    return torch.full((input_ids.shape[0],), value, dtype=torch.bool, device=input_ids.device)
