"""When the text may end, how it begins, and tokens that are ruled out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import NEVER, Forbidden, TokenIds, as_index, positive_int

# Axes: B sequences, T tokens so far, V vocabulary.


@final
class MinLengthLogitsProcessor:
    """Forbids the end tokens while prompt and text together are shorter than `min_length`."""

    def __init__(self, min_length: int, eos_token_id: TokenIds, device: torch.device | str = "cpu") -> None:
        self.min_length = positive_int("min_length", min_length, least=0)
        self._ends = Forbidden(eos_token_id, "eos_token_id", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self._ends(scores) if input_ids.shape[-1] < self.min_length else scores


@final
class MinNewTokensLengthLogitsProcessor:
    """Forbids the end tokens until `min_new_tokens` follow the prompt."""

    def __init__(
        self,
        prompt_length_to_skip: int,
        min_new_tokens: int,
        eos_token_id: TokenIds,
        device: torch.device | str = "cpu",
    ) -> None:
        positive_int("prompt_length_to_skip", prompt_length_to_skip, least=0)
        self.min_length = prompt_length_to_skip + positive_int("min_new_tokens", min_new_tokens, least=0)
        self._ends = Forbidden(eos_token_id, "eos_token_id", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self._ends(scores) if input_ids.shape[-1] < self.min_length else scores


@final
class ForcedBOSTokenLogitsProcessor:
    """Makes `bos_token_id` the only choice right after the decoder's start token."""

    def __init__(self, bos_token_id: int) -> None:
        self.bos = as_index(bos_token_id, "forced_bos_token_id")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return _only(scores, self.bos) if input_ids.shape[-1] == 1 else scores


@final
class ForcedEOSTokenLogitsProcessor:
    """Makes the end tokens the only choice for the last token before `max_length`."""

    def __init__(self, max_length: int, eos_token_id: TokenIds, device: torch.device | str = "cpu") -> None:
        self.max_length = max_length
        self.eos = as_index(eos_token_id, "forced_eos_token_id", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return _only(scores, self.eos) if input_ids.shape[-1] == self.max_length - 1 else scores


@final
class SuppressTokensLogitsProcessor:
    """Forbids these tokens everywhere."""

    def __init__(self, suppress_tokens: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._tokens = Forbidden(suppress_tokens, "suppress_tokens", device)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self._tokens(scores)


@final
class SuppressTokensAtBeginLogitsProcessor:
    """Forbids these tokens as the first one generated, when there are `begin_index` tokens."""

    def __init__(
        self, begin_suppress_tokens: Sequence[int], begin_index: int, device: torch.device | str = "cpu"
    ) -> None:
        self._tokens = Forbidden(begin_suppress_tokens, "begin_suppress_tokens", device)
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self._tokens(scores) if input_ids.shape[-1] == self.begin_index else scores


def _only(scores: Tensor, tokens: Tensor) -> Tensor:
    """Logits where nothing but these tokens is possible."""
    return torch.full_like(scores, NEVER).index_fill_(1, tokens.to(scores.device), 0.0)
