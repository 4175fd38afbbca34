"""What training, evaluation and prediction give back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

Arrays = Any
"""A NumPy array, or a tuple, list or dict of them, as a model's outputs are nested."""


class TrainOutput(NamedTuple):
    """Steps trained in all, mean loss of this call's steps, and the summary that was logged."""

    global_step: int
    training_loss: float
    metrics: dict[str, float]


class PredictionOutput(NamedTuple):
    """Predictions and labels as arrays, padded with -100, and metrics by name."""

    predictions: Arrays
    label_ids: Arrays
    metrics: dict[str, float] | None


class EvalLoopOutput(NamedTuple):
    """What one pass over a dataset gave."""

    predictions: Arrays
    label_ids: Arrays
    metrics: dict[str, float]
    num_samples: int


@dataclass(slots=True)
class EvalPrediction:
    """What a metric function sees: unpacks to predictions and labels, and to inputs and losses if asked for."""

    predictions: Arrays
    label_ids: Arrays
    inputs: Arrays = None
    losses: Arrays = None

    def __iter__(self) -> Iterator[Arrays]:
        return iter(self._given())

    def __getitem__(self, index: int) -> Arrays:
        return self._given()[index]

    def _given(self) -> tuple[Arrays, ...]:
        extra = tuple(value for value in (self.inputs, self.losses) if value is not None)
        return (self.predictions, self.label_ids, *extra)
