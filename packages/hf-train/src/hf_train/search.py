"""Searching for hyperparameters: many short runs, of which optuna chooses the next and ends the hopeless ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Unpack, final

from hf_hub_io import JsonValue
from hf_hub_io.errors import HfError, MissingPackageError
from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import TrainerControl, TrainerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hf_train.arguments import TrainingArguments
    from hf_train.trainer import Trainer


class SearchError(HfError, ValueError):
    """A search that cannot choose: no trial came to its end, or an evaluation gave nothing to compare."""


class Trial(Protocol):
    """One run of a search, which suggests values; optuna's trials are such."""

    @property
    def number(self) -> int:
        """Counts the trials from 0."""
        ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between two bounds, on a logarithmic scale with `log`."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number between two bounds, both included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of several values."""
        ...

    def report(self, value: float, step: int) -> None:
        """What the run has come to by now."""
        ...

    def should_prune(self) -> bool:
        """Whether it is worse than others were at this step."""
        ...


@dataclass(frozen=True, kw_only=True)
class BestRun:
    """The best of a search: number of the trial, its objective, the arguments it had, and how all trials ended."""

    run_id: str
    objective: float
    hyperparameters: Mapping[str, JsonValue]
    run_summary: tuple[TrialSummary, ...]


@dataclass(frozen=True, kw_only=True)
class TrialSummary:
    """How one trial ended: with an objective, pruned, or failed."""

    number: int
    outcome: Literal["complete", "pruned", "failed"]
    objective: float | None
    hyperparameters: Mapping[str, JsonValue]


def default_space(trial: Trial) -> dict[str, Any]:
    """Learning rate 1e-6 to 1e-4, 1 to 5 epochs, seed 1 to 40, batches of 4 to 64 rows."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-4, log=True),
        "num_train_epochs": trial.suggest_int("num_train_epochs", 1, 5),
        "seed": trial.suggest_int("seed", 1, 40),
        "per_device_train_batch_size": trial.suggest_categorical(
            "per_device_train_batch_size", [4, 8, 16, 32, 64]
        ),
    }


def default_objective(metrics: Mapping[str, float]) -> float:
    """The loss if nothing else was measured, else the sum of the metrics; speeds do not count."""
    skipped = ("_runtime", "_per_second", "_time")
    kept = {name: value for name, value in metrics.items() if name != "epoch" and not name.endswith(skipped)}
    others = [value for name, value in kept.items() if name != "eval_loss"]
    if others:
        return sum(others)
    if "eval_loss" not in kept:
        raise SearchError("the evaluation gave nothing to compare", fix="give the Trainer an eval_dataset")
    return kept["eval_loss"]


def hyperparameter_search(
    make: Callable[[TrainingArguments], Trainer],
    args: TrainingArguments,
    *,
    space: Callable[[Trial], dict[str, Any]] = default_space,
    objective: Callable[[Mapping[str, float]], float] = default_objective,
    n_trials: int = 20,
    direction: Literal["minimize", "maximize"] = "minimize",
    seed: int | None = None,
    prune: bool = True,
    name: Callable[[Trial], str] = lambda trial: f"run-{trial.number}",
) -> BestRun:
    """Train `n_trials` times with the arguments that `space` suggests in place of those in `args`.

    Each run has a folder of its own, called `name(trial)`, in the output folder. A trial that raises is recorded
    as failed, and the search goes on.

    Args:
        make: a Trainer for some arguments, with a model made anew.
        prune: end a run whose evaluations are worse than the median of earlier ones at the same step.
        seed: of the search itself; the same one suggests the same values.

    Raises:
        SearchError: no trial came to its end. MissingPackageError: optuna is not installed.
    """
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise MissingPackageError(
            "optuna", "the search for hyperparameters", "pip install hf-train[search]"
        ) from error
    sampler = optuna.samplers.TPESampler(seed=seed)
    pruner = optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner)
    errors: list[Exception] = []

    def run(trial: Trial) -> float:
        try:
            return _run(make, args, trial, space(trial), objective, name(trial), optuna.TrialPruned)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            errors.append(error)
            raise

    study.optimize(run, n_trials=n_trials, catch=(Exception,))
    trials = tuple(_summary(trial) for trial in study.trials)
    complete = [trial for trial in trials if trial.outcome == "complete" and trial.objective is not None]
    if not complete:
        reason = f", the last because of {errors[-1]}" if errors else ""
        raise SearchError(f"none of {len(trials)} trials came to its end{reason}") from (
            errors[-1] if errors else None
        )
    sign = 1.0 if direction == "minimize" else -1.0
    best = min(complete, key=lambda trial: sign * (trial.objective or 0.0))
    return BestRun(
        run_id=str(best.number),
        objective=best.objective or 0.0,
        hyperparameters=best.hyperparameters,
        run_summary=trials,
    )


def _run(
    make: Callable[[TrainingArguments], Trainer],
    args: TrainingArguments,
    trial: Trial,
    values: dict[str, Any],
    objective: Callable[[Mapping[str, float]], float],
    name: str,
    pruned: type[Exception],
) -> float:
    folder = str(Path(args.output_dir) / name)
    trainer = make(dataclasses.replace(args, **values, output_dir=folder))
    watch = _Watch(trial, name, values, objective)
    trainer.add_callback(watch)
    trainer.train()
    if watch.hopeless:
        raise pruned(f"trial {trial.number} is worse than others were")
    return objective(trainer.evaluate())


@final
class _Watch(TrainerCallback):
    """Writes the trial into the state, reports its evaluations, and ends a run that should be pruned."""

    def __init__(
        self,
        trial: Trial,
        name: str,
        values: Mapping[str, JsonValue],
        objective: Callable[[Mapping[str, float]], float],
    ) -> None:
        self.trial, self.name, self.values, self.objective = trial, name, values, objective
        self.hopeless = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        state.is_hyper_param_search = True
        state.trial_name, state.trial_params = self.name, dict(self.values)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        figures = context.get("metrics", {})
        metrics = {name: float(value) for name, value in figures.items() if isinstance(value, int | float)}
        if state.global_step < state.max_steps:
            self.trial.report(self.objective(metrics), state.global_step)
            self.hopeless = self.trial.should_prune()
            control.should_training_stop = control.should_training_stop or self.hopeless


def _summary(trial: Any) -> TrialSummary:
    outcomes: dict[str, Literal["complete", "pruned", "failed"]] = {
        "COMPLETE": "complete",
        "PRUNED": "pruned",
    }
    outcome = outcomes.get(trial.state.name, "failed")
    return TrialSummary(
        number=trial.number,
        outcome=outcome,
        objective=trial.value if outcome == "complete" else None,
        hyperparameters=dict(trial.params),
    )
