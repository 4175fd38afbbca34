"""When to log, evaluate, save and stop: what the arguments say, and early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from hf_hub_io import JsonValue
from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import CallbackError, TrainerControl, TrainerState

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments


class DefaultFlowCallback(TrainerCallback):
    """Asks for logs, evaluations and checkpoints when the arguments say so, and ends training at `max_steps`.

    At the last step an evaluation and a checkpoint are due whatever the interval, if the strategy is "steps".
    """

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl:
        """Compare the step with the intervals."""
        step = state.global_step
        last = step >= state.max_steps
        if (step == 1 and args.logging_first_step) or (
            args.logging_strategy == "steps" and step % state.logging_steps == 0
        ):
            control.should_log = True
        if (
            args.eval_strategy == "steps"
            and args.eval_delay <= step
            and (last or step % state.eval_steps == 0)
        ):
            control.should_evaluate = True
        on_interval = state.save_steps > 0 and step % state.save_steps == 0
        if args.save_strategy == "steps" and (last or on_interval):
            control.should_save = True
        if last:
            control.should_training_stop = True
        return control

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> TrainerControl:
        """Obey the strategies that are "epoch"."""
        if args.logging_strategy == "epoch":
            control.should_log = True
        if args.eval_strategy == "epoch" and args.eval_delay <= state.epoch:
            control.should_evaluate = True
        if args.save_strategy == "epoch":
            control.should_save = True
        return control


class EarlyStoppingCallback(TrainerCallback):
    """Ends training when `metric_for_best_model` has not improved for a number of evaluations in a row.

    Args:
        early_stopping_patience: how many.
        early_stopping_threshold: by how much a value must beat the best one to count as better.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0) -> None:
        if early_stopping_patience < 1:
            raise CallbackError(f"early_stopping_patience is {early_stopping_patience}, expected 1 or more")
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        self.early_stopping_patience_counter = 0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Refuse arguments under which training could never be stopped."""
        if args.metric_for_best_model is None:
            raise CallbackError(
                "EarlyStoppingCallback has no metric to watch",
                fix="set metric_for_best_model, such as 'loss'",
            )
        if args.eval_strategy == "no":
            raise CallbackError(
                "EarlyStoppingCallback waits for evaluations, and eval_strategy is 'no'",
                fix="set eval_strategy to 'steps' or 'epoch'",
            )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Count evaluations without improvement. Raises CallbackError if the metric was not computed."""
        metrics = context.get("metrics", {})
        name = f"eval_{(args.metric_for_best_model or 'loss').removeprefix('eval_')}"
        value = metrics.get(name)
        if not isinstance(value, int | float):
            raise CallbackError(
                f"early stopping watches {name!r}, which the evaluation did not give",
                fix=f"set metric_for_best_model to one of: {', '.join(sorted(metrics))}",
            )
        best = state.best_metric
        gain = 0.0 if best is None else (value - best if args.greater_is_better else best - value)
        if best is None or gain > self.early_stopping_threshold:
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def state(self) -> dict[str, dict[str, JsonValue]]:
        """Its arguments and how many evaluations it has waited."""
        return {
            "args": {
                "early_stopping_patience": self.early_stopping_patience,
                "early_stopping_threshold": self.early_stopping_threshold,
            },
            "attributes": {"early_stopping_patience_counter": self.early_stopping_patience_counter},
        }
