"""Bias on token sequences: words made likelier, less likely, or impossible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import NEVER, TokenIds, as_index, require

# Axes: B sequences, V vocabulary, G sequences of one length, P their prefix length.

SequenceBias: TypeAlias = Mapping[tuple[int, ...], float] | Sequence[Sequence[Sequence[int] | float]]
"""Bias per token sequence, as a mapping or, as JSON writes it, a list of `[ids, bias]` pairs."""


@final
class SequenceBiasLogitsProcessor:
    """Adds a bias to the token that would complete a sequence, when the text ends with its beginning."""

    def __init__(self, sequence_bias: SequenceBias) -> None:
        self.sequence_bias = _as_mapping(sequence_bias)
        groups: dict[int, list[tuple[tuple[int, ...], float]]] = defaultdict(list)
        for sequence, bias in self.sequence_bias.items():
            groups[len(sequence)].append((sequence, bias))
        self._single = groups.pop(1, [])
        self._by_length = [_Group(pairs) for pairs in groups.values()]
        self._largest = max(max(sequence) for sequence in self.sequence_bias)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        require(
            self._largest < scores.shape[-1],
            "sequence_bias",
            self._largest,
            f"made of ids below the vocabulary's size, {scores.shape[-1]}",
        )
        bias = torch.zeros_like(scores)
        if self._single:
            tokens = torch.tensor([sequence[0] for sequence, _ in self._single], device=scores.device)
            bias[:, tokens] = scores.new_tensor([value for _, value in self._single])
        for group in self._by_length:
            group.add_to(bias, input_ids)
        return scores + bias


@final
class NoBadWordsLogitsProcessor:
    """Makes it impossible to complete any of `bad_words_ids`; end tokens alone are never forbidden."""

    def __init__(self, bad_words_ids: Sequence[Sequence[int]], eos_token_id: TokenIds | None = None) -> None:
        require(
            isinstance(bad_words_ids, list | tuple) and len(bad_words_ids) > 0,
            "bad_words_ids",
            bad_words_ids,
            "a list of one or more words, each a list of token ids",
        )
        require(
            all(isinstance(word, list | tuple) and _are_ids(word) for word in bad_words_ids),
            "bad_words_ids",
            bad_words_ids,
            "a list of words, each a list of token ids from 0",
        )
        ends = set() if eos_token_id is None else set(as_index(eos_token_id, "eos_token_id").tolist())
        words = {tuple(word): NEVER for word in bad_words_ids if not (len(word) == 1 and word[0] in ends)}
        self._bias = SequenceBiasLogitsProcessor(words) if words else None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores if self._bias is None else self._bias(input_ids, scores)


@final
class _Group:
    """Biased sequences of one length of at least two, as tensors."""

    def __init__(self, pairs: Iterable[tuple[tuple[int, ...], float]]) -> None:
        sequences = torch.tensor([sequence for sequence, _ in pairs])
        self.prefix_GP, self.last_G = sequences[:, :-1], sequences[:, -1]
        self.bias_G = torch.tensor([bias for _, bias in pairs])

    def add_to(self, bias: Tensor, input_ids: Tensor) -> None:
        """Add this group's biases where the ids end with a prefix."""
        length = self.prefix_GP.shape[1]
        if length > input_ids.shape[1]:
            return
        matches_BG = (input_ids[:, None, -length:] == self.prefix_GP.to(input_ids.device)).all(dim=-1)
        values_BG = torch.where(matches_BG, self.bias_G.to(bias), torch.zeros((), device=bias.device))
        bias.index_add_(1, self.last_G.to(bias.device), values_BG.to(bias.dtype))


def _as_mapping(sequence_bias: SequenceBias) -> dict[tuple[int, ...], float]:
    expected = "a non-empty mapping from tuples of token ids to floats, or a list of [ids, bias] pairs"
    if isinstance(sequence_bias, Mapping):
        pairs: list[tuple[object, object]] = list(sequence_bias.items())
    else:
        require(isinstance(sequence_bias, list | tuple), "sequence_bias", sequence_bias, expected)
        pairs = []
        for pair in sequence_bias:
            require(isinstance(pair, list | tuple) and len(pair) == 2, "sequence_bias", pair, expected)
            pairs.append((pair[0], pair[1]))
    require(len(pairs) > 0, "sequence_bias", sequence_bias, expected)
    checked: dict[tuple[int, ...], float] = {}
    for ids, bias in pairs:
        if not (isinstance(ids, list | tuple) and _are_ids(ids) and isinstance(bias, float)):
            require(False, "sequence_bias", (ids, bias), expected)
            continue
        checked[tuple(ids)] = bias
    return checked


def _are_ids(ids: Sequence[object]) -> bool:
    """Whether these are one or more token ids."""
    return len(ids) > 0 and all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids)
