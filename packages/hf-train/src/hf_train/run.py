"""One call of `Trainer.train`: how long it is, and what it has seen so far."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from torch import nn

from hf_hub_io.jsonio import JsonValue
from hf_train.data.feed import Feed
from hf_train.ema import WeightAverage
from hf_train.errors import NonFiniteError, TrainingDataError

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

logger = logging.getLogger(__name__)
_PROGRESS: Final = ("loss", "losses", "logged_step", "skipped", "grad_norm", "learning_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Length:
    """How long a run is: steps in all and in an epoch, epochs, batches of an epoch in each process, rows in all."""

    max_steps: int
    epochs: int
    epoch_steps: int
    epoch_batches: int
    rows: float


def length_of(args: TrainingArguments, feed: Feed, rows: int | None) -> Length:
    """How long a run over `feed` is; `rows` is the length of its dataset, None for a stream.

    Raises TrainingDataError if nothing says how long.
    """
    step_rows = feed.batch_rows * feed.world * args.gradient_accumulation_steps
    try:
        batches = len(feed)
    except TypeError:
        if args.max_steps < 0:
            raise TrainingDataError(
                "the training data has no length, so that the number of steps is not known",
                fix="set max_steps",
            ) from None
        steps = args.max_steps
        return Length(
            max_steps=steps,
            epochs=sys.maxsize,
            epoch_steps=steps,
            epoch_batches=steps * args.gradient_accumulation_steps,
            rows=steps * step_rows,
        )
    if not batches:
        raise TrainingDataError("the training data has no batches", fix="check how it was filtered or split")
    epoch_steps = -(-batches // args.gradient_accumulation_steps)
    if args.max_steps > 0:
        steps, epochs = args.max_steps, -(-args.max_steps // epoch_steps)
        total: float = steps * step_rows
    else:
        steps, epochs = math.ceil(args.num_train_epochs * epoch_steps), math.ceil(args.num_train_epochs)
        total = (rows or batches * feed.batch_rows * feed.world) * args.num_train_epochs
    return Length(max_steps=steps, epochs=epochs, epoch_steps=epoch_steps, epoch_batches=batches, rows=total)


@dataclass(kw_only=True, slots=True)
class Run:
    """What one call of `train` carries along beside the state that checkpoints keep."""

    length: Length
    feed: Feed
    parameters: list[nn.Parameter]
    average: WeightAverage | None = None
    first_step: int = 0
    first_tokens: int = 0
    start: float = field(default_factory=time.perf_counter)
    loss: float = 0.0
    """Sum of the losses of the steps since the last log."""
    losses: int = 0
    """How many these are."""
    total_loss: float = 0.0
    """Sum of the losses of all steps of this call."""
    logged_step: int = 0
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    grad_norm: float = 0.0
    learning_rate: float = 0.0
    batch_end: int = 0
    """The number, in its epoch, of the batch after those of the current step."""
    model_flops: float = 0.0
    epoch_done: bool = False
    """Whether the current epoch is over, and only what is due after it is left."""

    def note(self, loss: float, grad_norm: float, learning_rate: float) -> None:
        """Remember a step for the next log."""
        if math.isfinite(loss):
            self.loss += loss
            self.losses += 1
            self.total_loss += loss
        self.grad_norm, self.learning_rate = grad_norm, learning_rate

    def take_loss(self) -> float | None:
        """The mean loss of the steps since the last call; None if no step had one."""
        if not self.losses:
            return None
        mean = self.loss / self.losses
        self.loss, self.losses = 0.0, 0
        return mean

    def progress(self) -> dict[str, JsonValue]:
        """What the next log says of the steps so far, to be saved."""
        return {name: getattr(self, name) for name in _PROGRESS}

    def take_up(self, progress: Mapping[str, JsonValue]) -> None:
        """Go on from what `progress` gave."""
        for name in _PROGRESS:
            setattr(self, name, progress[name])

    def note_skipped(self, error: NonFiniteError) -> None:
        """Count a step that was skipped, and say why."""
        self.skipped += 1
        logger.warning("step %d is skipped: %s", error.step, error.what)

    def rows_of_step(self, batches: int) -> tuple[int, ...]:
        """The rows that the current step's last `batches` batches were made of; () if they are not known."""
        return self.feed.rows_of(range(self.batch_end - batches, self.batch_end))
