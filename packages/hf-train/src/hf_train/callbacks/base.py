"""What a callback is: one method per event of training, each free to change what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from hf_train.callbacks.state import Logs, TrainerControl, TrainerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    from hf_train.arguments import TrainingArguments

Event = Literal[
    "on_init_end",
    "on_train_begin",
    "on_epoch_begin",
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_epoch_end",
    "on_log",
    "on_evaluate",
    "on_prediction_step",
    "on_predict",
    "on_save",
    "on_push_begin",
    "on_train_end",
]


class EventContext(TypedDict, total=False):
    """What every event also hands over, by keyword.

    `logs` comes with `on_log`, `metrics` with `on_evaluate` and `on_predict`; both are copies, the receiver's
    to change. `processing_class` is whatever the Trainer was given to turn data into inputs.
    """

    model: nn.Module | None
    processing_class: object
    optimizer: Optimizer | None
    lr_scheduler: LRScheduler | ReduceLROnPlateau | None
    train_dataloader: Iterable[Any] | None
    eval_dataloader: Iterable[Any] | None
    logs: Logs
    metrics: Logs


class TrainerCallback:
    """Base of callbacks: override the events of interest; each may change `control` or return a new one.

    ```python
    class StopWhenSolved(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics=None, **kwargs):
            control.should_training_stop = metrics["eval_loss"] < 0.1
    ```

    An update of the weights goes through `on_step_begin`, `on_substep_end` after each accumulated batch but the
    last, `on_pre_optimizer_step` (gradients are final and clipped), `on_optimizer_step`, `on_step_end`.
    """

    def on_init_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """The Trainer exists."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """Training is about to begin; optimizer and scheduler exist."""

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """An epoch is about to begin."""

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """The first batch of an update is about to be computed."""

    def on_substep_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """A batch was accumulated, and more are to come before the update."""

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """Gradients are complete and clipped; the weights have not moved."""

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """The weights have moved; gradients are still there."""

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """An update is done: the scheduler has moved and `state.global_step` has grown."""

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """An epoch is done."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """`logs` was recorded."""

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """An evaluation gave `metrics`."""

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """One batch of an evaluation or prediction was computed."""

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """A prediction gave `metrics`."""

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """A checkpoint was saved."""

    def on_push_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """An upload to the Hub is about to begin."""

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl | None:
        """Training is over; with `load_best_model_at_end` the best weights are loaded."""
