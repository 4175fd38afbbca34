"""A search finds the setting that learns, ends the hopeless runs, and survives those that fail."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hf_hub_io.errors import MissingPackageError
from hf_train import Trainer, TrainingArguments
from hf_train.search import SearchError, Trial, default_objective, default_space, hyperparameter_search

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(logging.ERROR)
    yield
    optuna.logging.set_verbosity(logging.INFO)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.slope * x
        return {"loss": (y - labels).square().mean(), "logits": y}


ROWS = [{"x": float(x), "labels": 3.0 * x} for x in (-2, -1, 1, 2)] * 4


def make(args: TrainingArguments) -> Trainer:
    return Trainer(Line(), args, train_dataset=ROWS, eval_dataset=ROWS)


def arguments(folder: Path, **fields: Any) -> TrainingArguments:
    settings: dict[str, Any] = {"optim": "sgd", "max_steps": 6, "save_strategy": "no", "disable_tqdm": True}
    settings |= {"max_grad_norm": 100.0}
    return TrainingArguments(str(folder), **(settings | fields))


def rates(trial: Trial) -> dict[str, Any]:
    return {"learning_rate": trial.suggest_categorical("learning_rate", [1e-6, 1e-3, 0.1])}


def test_the_setting_that_learns_is_found(tmp_path: Path) -> None:
    best = hyperparameter_search(make, arguments(tmp_path), space=rates, n_trials=8, seed=0)
    assert best.hyperparameters == {"learning_rate": 0.1}
    assert best.objective < 1.0
    assert best.objective == min(trial.objective for trial in best.run_summary if trial.objective is not None)
    assert len(best.run_summary) == 8
    assert {path.name for path in tmp_path.iterdir()} == {f"run-{number}" for number in range(8)}
    again = hyperparameter_search(make, arguments(tmp_path), space=rates, n_trials=8, seed=0)
    assert [one.hyperparameters for one in again.run_summary] == [
        one.hyperparameters for one in best.run_summary
    ]


def test_a_larger_objective_can_be_the_better_one(tmp_path: Path) -> None:
    def negative(metrics: Mapping[str, float]) -> float:
        return -metrics["eval_loss"]

    best = hyperparameter_search(
        make, arguments(tmp_path), space=rates, objective=negative, direction="maximize", n_trials=6, seed=0
    )
    assert best.hyperparameters == {"learning_rate": 0.1}
    assert best.objective < 0


def test_hopeless_runs_are_ended_and_trials_are_recorded(tmp_path: Path) -> None:
    order = iter([0.1] * 6 + [1e-6] * 2)

    def space(trial: Trial) -> dict[str, Any]:
        return {"learning_rate": next(order)}

    saved: list[dict[str, Any]] = []

    def recorded(args: TrainingArguments) -> Trainer:
        trainer = make(args)
        save = trainer.train

        def train(*given: Any, **named: Any) -> Any:
            result = save(*given, **named)
            saved.append({"name": trainer.state.trial_name, "step": trainer.state.global_step})
            return result

        trainer.train = train  # type: ignore[method-assign]  # looks over its shoulder
        return trainer

    args = arguments(tmp_path, eval_strategy="steps", eval_steps=2)
    best = hyperparameter_search(recorded, args, space=space, n_trials=8, seed=0)
    assert [trial.outcome for trial in best.run_summary] == ["complete"] * 6 + ["pruned"] * 2
    assert [one["step"] for one in saved] == [6] * 6 + [2] * 2
    assert saved[0]["name"] == "run-0"


def test_a_trial_that_fails_does_not_end_the_search(tmp_path: Path) -> None:
    order = iter([-1.0, 0.1])

    def space(trial: Trial) -> dict[str, Any]:
        return {"learning_rate": next(order)}

    best = hyperparameter_search(make, arguments(tmp_path), space=space, n_trials=2)
    assert [trial.outcome for trial in best.run_summary] == ["failed", "complete"]
    with pytest.raises(SearchError, match="none of 1 trials came to its end, the last because of"):
        hyperparameter_search(
            make, arguments(tmp_path), space=lambda trial: {"learning_rate": -1.0}, n_trials=1
        )


def test_defaults_are_the_peers() -> None:
    trial = optuna.trial.FixedTrial(
        {"learning_rate": 1e-5, "num_train_epochs": 2, "seed": 3, "per_device_train_batch_size": 8}
    )
    assert set(default_space(trial)) == {
        "learning_rate",
        "num_train_epochs",
        "seed",
        "per_device_train_batch_size",
    }
    assert default_objective({"eval_loss": 2.0, "eval_runtime": 9.0, "epoch": 1.0}) == 2.0
    assert default_objective({"eval_loss": 2.0, "eval_f1": 0.5, "eval_accuracy": 0.25}) == 0.75
    with pytest.raises(SearchError, match="nothing to compare"):
        default_objective({"epoch": 1.0})


def test_without_optuna_the_install_line_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"pip install hf-train\[search\]"):
        hyperparameter_search(make, arguments(tmp_path))
