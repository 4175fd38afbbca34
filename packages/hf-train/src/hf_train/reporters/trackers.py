"""Trackers of other makers, each imported when it is asked for and never before.

They carry no types, so they are called through modules of type Any; each class notes the calls it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, final

from hf_hub_io import JsonValue
from hf_hub_io.errors import MissingPackageError
from hf_train.reporters.base import RunInfo, environment


def _library(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(package, "a reporter") from error


@final
class TensorBoard:
    """Event files in `output_dir/runs/NAME`, or in the folder that TENSORBOARD_LOGGING_DIR names."""

    def __init__(self) -> None:
        self._summary = _library("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._writer: Any = None

    def start(self, run: RunInfo) -> None:
        """Open the event file; a resumed run hides what came after its checkpoint."""
        folder = environment("TENSORBOARD_LOGGING_DIR") or str(run.output_dir / "runs" / run.name)
        self._writer = self._summary(log_dir=folder, purge_step=run.step + 1 if run.step else None)
        self._writer.add_text(
            "config", "\n".join(f"    {name}: {value}" for name, value in run.config.items())
        )

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """One scalar each."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self) -> None:
        """Close the event file."""
        self._writer.close()


@final
class WeightsAndBiases:
    """A run of Weights & Biases; WANDB_PROJECT wins over the argument `project`."""

    def __init__(self) -> None:
        self._wandb = _library("wandb", "wandb")
        self._run: Any = None

    def start(self, run: RunInfo) -> None:
        """Join the run that is open, or begin one."""
        project = environment("WANDB_PROJECT", run.project)
        self._run = self._wandb.run or self._wandb.init(project=project, name=run.name)
        self._run.config.update(dict(run.config), allow_val_change=True)
        # Evaluations are logged at the step of training they belong to, not at a counter of calls.
        self._run.define_metric("train/global_step")
        self._run.define_metric("*", step_metric="train/global_step", step_sync=True)

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """The numbers and the step they belong to."""
        self._run.log({**figures, "train/global_step": step})

    def finish(self) -> None:
        """End the run."""
        self._run.finish()


@final
class MLflow:
    """A run of MLflow in the experiment MLFLOW_EXPERIMENT_NAME at MLFLOW_TRACKING_URI."""

    LENGTH = 500
    """Characters that a parameter may have, and parameters that one call may set: 100."""

    def __init__(self) -> None:
        self._mlflow = _library("mlflow", "mlflow")
        self._ours = False

    def start(self, run: RunInfo) -> None:
        """Join the active run, or begin one."""
        if uri := environment("MLFLOW_TRACKING_URI"):
            self._mlflow.set_tracking_uri(uri)
        if experiment := environment("MLFLOW_EXPERIMENT_NAME"):
            self._mlflow.set_experiment(experiment)
        if self._mlflow.active_run() is None:
            self._mlflow.start_run(run_name=run.name)
            self._ours = True
        parameters = [(name, str(value)[: self.LENGTH]) for name, value in run.config.items()]
        for at in range(0, len(parameters), 100):
            self._mlflow.log_params(dict(parameters[at : at + 100]))

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """All numbers in one call."""
        self._mlflow.log_metrics(dict(figures), step=step)

    def finish(self) -> None:
        """End the run, if it was begun here."""
        if self._ours:
            self._mlflow.end_run()
            self._ours = False


@final
class Comet:
    """An experiment of Comet; COMET_PROJECT_NAME wins over the argument `project`."""

    def __init__(self) -> None:
        self._comet = _library("comet_ml", "comet_ml")
        self._experiment: Any = None

    def start(self, run: RunInfo) -> None:
        """Join the experiment that is open, or begin one."""
        project = environment("COMET_PROJECT_NAME", run.project)
        self._experiment = self._comet.start(project_name=project)
        self._experiment.set_name(run.name)
        self._experiment.log_parameters(dict(run.config))

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """All numbers in one call."""
        self._experiment.log_metrics(dict(figures), step=step)

    def finish(self) -> None:
        """Upload what is left."""
        self._experiment.end()


@final
class Aim:
    """A run of Aim in the repository of the working folder."""

    def __init__(self) -> None:
        self._aim = _library("aim", "aim")
        self._run: Any = None

    def start(self, run: RunInfo) -> None:
        """Begin a run."""
        self._run = self._aim.Run(experiment=run.project)
        self._run.name = run.name
        for name, value in run.config.items():
            self._run["config", name] = value

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """One value each, with `train`, `eval` or `test` as its context."""
        for name, value in figures.items():
            subset, _, short = name.partition("/")
            self._run.track(value, name=short, step=step, context={"subset": subset})

    def finish(self) -> None:
        """Close the run."""
        self._run.close()


@final
class ClearML:
    """A task of ClearML; CLEARML_PROJECT and CLEARML_TASK win over the arguments."""

    def __init__(self) -> None:
        self._clearml = _library("clearml", "clearml")
        self._task: Any = None
        self._ours = False

    def start(self, run: RunInfo) -> None:
        """Join the current task, or begin one."""
        self._task = self._clearml.Task.current_task()
        if self._task is None:
            project, name = environment("CLEARML_PROJECT", run.project), environment("CLEARML_TASK", run.name)
            self._task = self._clearml.Task.init(project_name=project, task_name=name, output_uri=False)
            self._ours = True
        self._task.connect(dict(run.config), "config")

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """One scalar each; `train`, `eval` and `test` are lines of one plot."""
        for name, value in figures.items():
            series, _, title = name.partition("/")
            self._task.get_logger().report_scalar(title=title, series=series, value=value, iteration=step)

    def finish(self) -> None:
        """Close the task, if it was begun here."""
        if self._ours:
            self._task.close()
            self._ours = False


@final
class Trackio:
    """A run of Trackio, in a local database; TRACKIO_PROJECT wins over the argument `project`."""

    def __init__(self) -> None:
        self._trackio = _library("trackio", "trackio")

    def start(self, run: RunInfo) -> None:
        """Begin a run, or go on with the one of this name."""
        config: dict[str, JsonValue] = dict(run.config)
        project = environment("TRACKIO_PROJECT", run.project)
        self._trackio.init(project=project, name=run.name, config=config, resume="allow")

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """All numbers in one call."""
        self._trackio.log(dict(figures), step=step)

    def finish(self) -> None:
        """End the run."""
        self._trackio.finish()
