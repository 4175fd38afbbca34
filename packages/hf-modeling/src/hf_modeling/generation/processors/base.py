"""What a logits processor is, and how several become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, final

import torch
from torch import Tensor

from hf_modeling.generation.errors import OptionError

# Axes: B sequences, T tokens so far, V vocabulary.

NEVER = float("-inf")
"""The logit of a token that must not be chosen."""

TokenIds: TypeAlias = int | Sequence[int] | Tensor
"""One token id or several."""


class LogitsProcessor(Protocol):
    """Changes the next token's logits, given the tokens so far. Any function of this shape is one."""

    def __call__(self, input_ids: Tensor, scores: Tensor, /) -> Tensor:
        """New logits (B, V) from ids (B, T) and logits (B, V); neither argument is changed."""
        ...


@final
class LogitsProcessorList(list[LogitsProcessor]):
    """Processors applied one after the other."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits (B, V) after every processor."""
        for processor in self:
            scores = processor(input_ids, scores)
        return scores


def as_index(tokens: TokenIds, name: str, device: torch.device | str = "cpu") -> Tensor:
    """Token ids as a 1-d int64 tensor.

    Raises:
        OptionError: an id is negative or not an integer.
    """
    index = torch.as_tensor(tokens, device=device).reshape(-1)
    if index.numel() and (index.dtype.is_floating_point or int(index.min()) < 0):
        raise OptionError(name, tokens, "one or more token ids, integers from 0")
    return index.long()


def positive_int(name: str, value: int, *, least: int = 1) -> int:
    """`value`, if it is an integer of at least `least`.

    Raises:
        OptionError: it is not.
    """
    if type(value) is not int or value < least:  # a bool is no count
        raise OptionError(name, value, f"an integer of at least {least}")
    return value


def require(ok: bool, name: str, value: object, expected: str) -> None:
    """Raises OptionError unless `ok`."""
    if not ok:
        raise OptionError(name, value, expected)


def per_beam(rows: Tensor, batch: int) -> Tensor:
    """`rows` (N, ...) repeated so that every one of its rows serves `batch / N` beams."""
    return rows if rows.shape[0] >= batch else rows.repeat_interleave(batch // rows.shape[0], dim=0)


@final
class Forbidden:
    """Tokens that are made impossible; those beyond the vocabulary of the logits are impossible anyway."""

    def __init__(self, tokens: TokenIds, name: str, device: torch.device | str = "cpu") -> None:
        self._index = as_index(tokens, name, device)
        self._largest = int(self._index.max()) if self._index.numel() else -1

    def __call__(self, scores: Tensor) -> Tensor:
        """`scores` (B, V) without a chance for these tokens."""
        index = self._index.to(scores.device)
        if self._largest >= scores.shape[-1]:
            index = index[index < scores.shape[-1]]
        return scores.index_fill(1, index, NEVER)
