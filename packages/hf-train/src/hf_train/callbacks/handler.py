"""Calls every callback, in the order they were added, at each event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, final

from hf_train.callbacks.base import Event, EventContext, TrainerCallback
from hf_train.callbacks.state import CallbackError, Logs, TrainerControl, TrainerState

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    from hf_train.arguments import TrainingArguments

CallbackLike = TrainerCallback | type[TrainerCallback]
"""A callback, or the class of one that is made without arguments."""


@final
class CallbackHandler:
    """The callbacks of a Trainer as one: same events, and what they are told beside the state.

    The attributes are set by the Trainer as they come into being; each event passes the current ones on.
    """

    def __init__(
        self,
        callbacks: Iterable[CallbackLike] = (),
        model: nn.Module | None = None,
        processing_class: object = None,
        optimizer: Optimizer | None = None,
        lr_scheduler: LRScheduler | ReduceLROnPlateau | None = None,
    ) -> None:
        self.callbacks: list[TrainerCallback] = []
        for callback in callbacks:
            self.add_callback(callback)
        self.model = model
        self.processing_class = processing_class
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.train_dataloader: Iterable[Any] | None = None
        self.eval_dataloader: Iterable[Any] | None = None

    def add_callback(self, callback: CallbackLike) -> None:
        """Append a callback; a class is called without arguments."""
        self.callbacks.append(callback() if isinstance(callback, type) else callback)

    def pop_callback(self, callback: CallbackLike) -> TrainerCallback:
        """Remove and return `callback`, or the first one of that class. Raises CallbackError if there is none."""
        for present in self.callbacks:
            if isinstance(present, callback) if isinstance(callback, type) else present is callback:
                self.callbacks.remove(present)
                return present
        name = callback.__name__ if isinstance(callback, type) else type(callback).__name__
        raise CallbackError(
            f"there is no callback {name} here", fix=f"there are: {self.callback_list or 'none'}"
        )

    def remove_callback(self, callback: CallbackLike) -> None:
        """Remove `callback`, or the first one of that class."""
        self.pop_callback(callback)

    @property
    def callback_list(self) -> str:
        """The class names of all callbacks, one per line."""
        return "\n".join(type(callback).__name__ for callback in self.callbacks)

    def call_event(
        self,
        event: Event,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: Logs | None = None,
        metrics: Logs | None = None,
    ) -> TrainerControl:
        """Tell all callbacks; the control after the last of them. Each gets its own copy of the figures."""
        for callback in self.callbacks:
            context: EventContext = {
                "model": self.model,
                "processing_class": self.processing_class,
                "optimizer": self.optimizer,
                "lr_scheduler": self.lr_scheduler,
                "train_dataloader": self.train_dataloader,
                "eval_dataloader": self.eval_dataloader,
            }
            if logs is not None:
                context["logs"] = dict(logs)
            if metrics is not None:
                context["metrics"] = dict(metrics)
            control = getattr(callback, event)(args, state, control, **context) or control
        return control

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """The Trainer exists."""
        return self.call_event("on_init_end", args, state, control)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """Training is about to begin; optimizer and scheduler exist."""
        control.should_training_stop = False
        return self.call_event("on_train_begin", args, state, control)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """An epoch is about to begin."""
        control.should_epoch_stop = False
        return self.call_event("on_epoch_begin", args, state, control)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """The first batch of an update is about to be computed."""
        control.should_log = False
        control.should_evaluate = False
        control.should_save = False
        return self.call_event("on_step_begin", args, state, control)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """A batch was accumulated, and more are to come before the update."""
        return self.call_event("on_substep_end", args, state, control)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """Gradients are complete and clipped; the weights have not moved."""
        return self.call_event("on_pre_optimizer_step", args, state, control)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """The weights have moved; gradients are still there."""
        return self.call_event("on_optimizer_step", args, state, control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """An update is done: the scheduler has moved and `state.global_step` has grown."""
        return self.call_event("on_step_end", args, state, control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """An epoch is done."""
        return self.call_event("on_epoch_end", args, state, control)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Logs
    ) -> TrainerControl:
        """`logs` was recorded."""
        control.should_log = False
        return self.call_event("on_log", args, state, control, logs=logs)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Logs
    ) -> TrainerControl:
        """An evaluation gave `metrics`."""
        control.should_evaluate = False
        return self.call_event("on_evaluate", args, state, control, metrics=metrics)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """One batch of an evaluation or prediction was computed."""
        return self.call_event("on_prediction_step", args, state, control)

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Logs
    ) -> TrainerControl:
        """A prediction gave `metrics`."""
        return self.call_event("on_predict", args, state, control, metrics=metrics)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """A checkpoint was saved."""
        control.should_save = False
        return self.call_event("on_save", args, state, control)

    def on_push_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """An upload to the Hub is about to begin."""
        return self.call_event("on_push_begin", args, state, control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> TrainerControl:
        """Training is over; with `load_best_model_at_end` the best weights are loaded."""
        return self.call_event("on_train_end", args, state, control)
