"""Metrics that look at one batch at a time and keep a few numbers, however large the dataset is.

Give one to the Trainer as `compute_metrics`. B rows, C classes, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from hf_modeling.loss import IGNORED
from hf_train.outputs import EvalPrediction


@runtime_checkable
class StreamingMetric(Protocol):
    """A metric that is shown each batch once, as tensors on the device of the model."""

    def reset(self) -> None:
        """Forget everything: an evaluation begins."""
        ...

    def update(self, batch: EvalPrediction) -> None:
        """Take a batch in."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The metric of everything taken in, by name."""
        ...


@final
class Accuracy:
    """`accuracy`: the share of labels, -100 left out, that the largest logit names.

    logits (B, C) or (B, T, C), or classes already chosen, of the labels' shape. With `shift` each label belongs to
    the token before it, as for causal language models.
    """

    def __init__(self, *, shift: bool = False) -> None:
        self.shift = shift
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.right = self.labels = 0

    def update(self, batch: EvalPrediction) -> None:
        """Count a batch."""
        chosen, labels = _chosen(batch, shift=self.shift)
        real = labels != IGNORED
        self.right += int(((chosen == labels) & real).sum())
        self.labels += int(real.sum())

    def compute(self) -> Mapping[str, float]:
        """The share."""
        return {"accuracy": self.right / self.labels if self.labels else math.nan}


@final
class F1:
    """`precision`, `recall` and `f1`, each a mean over the classes that occur ("macro"), and `accuracy`."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.pairs_CC = torch.zeros(self.classes, self.classes, dtype=torch.int64)

    def update(self, batch: EvalPrediction) -> None:
        """Count which class was taken for which."""
        chosen, labels = _chosen(batch)
        real = labels != IGNORED
        places = labels[real] * self.classes + chosen[real]
        counts = torch.bincount(places.flatten().cpu(), minlength=self.classes**2)
        self.pairs_CC += counts.view(self.classes, self.classes)

    def compute(self) -> Mapping[str, float]:
        """The means."""
        pairs = self.pairs_CC.double()
        right, labels, chosen = pairs.diagonal(), pairs.sum(1), pairs.sum(0)
        occur = (labels + chosen) > 0
        precision = (right / chosen.clamp(min=1))[occur]
        recall = (right / labels.clamp(min=1))[occur]
        f1 = (2 * right / (labels + chosen).clamp(min=1))[occur]
        total = float(pairs.sum())
        return {
            "precision": float(precision.mean()),
            "recall": float(recall.mean()),
            "f1": float(f1.mean()),
            "accuracy": float(right.sum()) / total if total else math.nan,
        }


@final
class MeanSquaredError:
    """`mse` and `mae` of a regression, logits (B,) or (B, 1) against labels (B,)."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.squares = self.absolutes = 0.0
        self.count = 0

    def update(self, batch: EvalPrediction) -> None:
        """Add the errors of a batch."""
        labels = _first(batch.label_ids).double().flatten()
        errors = _first(batch.predictions).double().flatten() - labels
        self.squares += float(errors.square().sum())
        self.absolutes += float(errors.abs().sum())
        self.count += errors.numel()

    def compute(self) -> Mapping[str, float]:
        """The means."""
        count = self.count or math.nan
        return {"mse": self.squares / count, "mae": self.absolutes / count}


def _chosen(batch: EvalPrediction, *, shift: bool = False) -> tuple[Tensor, Tensor]:
    """The class chosen for each label, and the labels, of the same shape."""
    predictions, labels = _first(batch.predictions), _first(batch.label_ids)
    if predictions.ndim > labels.ndim:
        predictions = predictions.argmax(-1)
    if shift:
        predictions, labels = predictions[:, :-1], labels[:, 1:]
    return predictions, labels


def _first(values: Any) -> Tensor:
    """The tensor itself, or the first of several outputs."""
    tensor: Tensor = values[0] if isinstance(values, tuple | list) else values
    return tensor
