"""The next token of each request of a step: one pass for those that are alike, their own for the others.

B requests of a step, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import LogitsProcessor
from hf_modeling.generation.processors.warpers import Warper
from hf_modeling.generation.sampling import BLOCK, draw


@dataclass(slots=True)
class Stream:
    """The random numbers of one request, in [0, 1): its own when it has a seed."""

    seed: int | None
    _generator: torch.Generator | None = None
    _block: Sequence[float] = ()
    _first: int = 0

    def __post_init__(self) -> None:
        if self.seed is not None:
            self._generator = torch.Generator().manual_seed(self.seed)

    def at(self, step: int) -> float:
        """The number of a step; steps only go forwards."""
        if self._generator is None:
            return float(torch.rand((), dtype=torch.float64))
        while step >= self._first + len(self._block):
            self._first += len(self._block)
            self._block = torch.rand(BLOCK, dtype=torch.float64, generator=self._generator).tolist()
        return self._block[step - self._first]


@dataclass(kw_only=True, slots=True)
class Chooser:
    """How one request chooses: its processors, and its random stream when it samples."""

    processors: Sequence[LogitsProcessor]
    stream: Stream | None

    @property
    def kind(self) -> Hashable:
        """Choosers of one kind see the logits alone, in the same way, so that their rows go through together."""
        if all(isinstance(processor, Warper) for processor in self.processors):
            return (self.stream is None, *self.processors)
        return id(self)


def choose(
    logits_BV: Tensor, choosers: Sequence[Chooser], texts: Sequence[Sequence[int]], steps: Sequence[int]
) -> list[int | Exception]:
    """A token for every request, or what its processors raised."""
    kinds: dict[Hashable, list[int]] = defaultdict(list)
    for row, chooser in enumerate(choosers):
        kinds[chooser.kind].append(row)
    chosen: list[int | Exception] = [0] * len(choosers)
    for rows in kinds.values():
        first = choosers[rows[0]]
        scores = logits_BV if len(rows) == len(choosers) else logits_BV[rows]
        try:
            tokens = _tokens(
                scores.float(), first, [choosers[r] for r in rows], texts[rows[0]], [steps[r] for r in rows]
            )
        except Exception as error:  # noqa: BLE001 - whatever a request's own callable raises is its own affair
            for row in rows:
                chosen[row] = error
        else:
            for row, token in zip(rows, tokens, strict=True):
                chosen[row] = token
    return chosen


def _tokens(
    scores: Tensor, first: Chooser, choosers: Sequence[Chooser], text: Sequence[int], steps: Sequence[int]
) -> list[int]:
    if first.processors:
        # Rows that go through together do not look at the text.
        ids = torch.tensor([text], device=scores.device)
        for processor in first.processors:
            scores = processor(ids, scores)
    if first.stream is None:
        return list(scores.argmax(dim=-1).tolist())
    numbers = [c.stream.at(step) for c, step in zip(choosers, steps, strict=True) if c.stream is not None]
    uniform = torch.tensor(numbers, dtype=torch.float64, device=scores.device)
    return list(draw(scores, uniform).tolist())
