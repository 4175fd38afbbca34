"""Reporters are told of a run in order, under the names trackers group by, and none is on by itself."""

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from hf_hub_io.errors import MissingPackageError
from hf_train.arguments import TrainingArguments
from hf_train.callbacks import CallbackHandler, TrainerControl, TrainerState
from hf_train.reporters import (
    Csv,
    JsonLines,
    ReporterCallback,
    ReporterError,
    RunInfo,
    Sink,
    make_reporters,
    reporters,
    rewrite_logs,
)

LIBRARIES = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "comet_ml": "comet_ml",
    "aim": "aim",
    "clearml": "clearml",
    "trackio": "trackio",
}


class Recorder:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, run: RunInfo) -> None:
        self.told.append(run)

    def record(self, figures: Mapping[str, float], step: int) -> None:
        self.told.append((step, dict(figures)))

    def finish(self) -> None:
        self.told.append("end")


def run(sink: Sink, tmp_path: Path, *, step: int = 0, main: bool = True) -> None:
    """A run of one log, one evaluation, and its end."""
    args = TrainingArguments(output_dir=str(tmp_path), run_name="trial", hub_token="secret")
    handler = CallbackHandler([ReporterCallback(sink)])
    state = TrainerState(is_world_process_zero=main, global_step=step)
    control = TrainerControl()
    handler.on_train_begin(args, state, control)
    state.global_step = step + 5
    handler.on_log(args, state, control, {"loss": 2.5, "learning_rate": 1e-3, "note": "text"})
    handler.on_log(args, state, control, {"eval_loss": 2.0})
    handler.on_train_end(args, state, control)


def test_a_sink_hears_of_the_run_in_order(tmp_path: Path) -> None:
    sink = Recorder()
    run(sink, tmp_path)
    info, log, evaluation, end = sink.told
    assert (info.name, info.output_dir, info.step) == ("trial", tmp_path, 0)
    assert info.config["learning_rate"] == 5e-5
    assert "secret" not in str(info.config)
    assert log == (5, {"train/loss": 2.5, "train/learning_rate": 1e-3})
    assert evaluation == (5, {"eval/loss": 2.0})
    assert end == "end"


def test_only_the_main_process_reports(tmp_path: Path) -> None:
    sink = Recorder()
    run(sink, tmp_path, main=False)
    assert sink.told == []


def test_an_evaluation_alone_opens_a_run(tmp_path: Path) -> None:
    sink = Recorder()
    args = TrainingArguments(output_dir=str(tmp_path))
    CallbackHandler([ReporterCallback(sink)]).on_log(
        args, TrainerState(), TrainerControl(), {"eval_loss": 1.0}
    )
    assert isinstance(sink.told[0], RunInfo)


def test_names_are_grouped() -> None:
    logs: dict[str, Any] = {
        "loss": 1,
        "eval_loss": 2.0,
        "test_f1": 3.0,
        "eval_ok": True,
        "evaluated": 4.0,
        "x": None,
    }
    assert rewrite_logs(logs) == {"train/loss": 1.0, "eval/loss": 2.0, "test/f1": 3.0, "train/evaluated": 4.0}


def test_files_are_cut_back_when_a_run_is_resumed(tmp_path: Path) -> None:
    for sink in (JsonLines(), Csv()):
        run(sink, tmp_path)
        run(sink, tmp_path, step=5)
        run(sink, tmp_path, step=5)
    lines = [json.loads(line) for line in (tmp_path / "logs.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 5, 10, 10]
    table = (tmp_path / "logs.csv").read_text().splitlines()
    assert table[:3] == ["step,name,value", "5,train/loss,2.5", "5,train/learning_rate,0.001"]
    assert len(table) == 7
    run(JsonLines(), tmp_path)
    assert len((tmp_path / "logs.jsonl").read_text().splitlines()) == 2, "a new run begins a new file"


def test_names_are_found_without_importing_libraries() -> None:
    assert set(LIBRARIES) | {"tensorboard", "jsonl", "csv"} <= set(reporters())


def test_nothing_is_on_by_itself() -> None:
    assert make_reporters([]) == make_reporters(["none"]) == []
    (made,) = make_reporters(["jsonl"])
    assert isinstance(made.sink, JsonLines)
    assert {"JsonLines", "Csv"} <= {type(callback.sink).__name__ for callback in make_reporters(["all"])}


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ReporterError, match="did you mean 'wandb'"):
        make_reporters(["wandbb"])


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_library_says_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    with pytest.raises(MissingPackageError, match="pip install"):
        make_reporters([name])


def test_tensorboard_writes_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (made,) = make_reporters(["tensorboard"])
    run(made.sink, tmp_path)
    accumulator = import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "runs" / "trial"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(5, 2.5)]
    assert [(event.step, event.value) for event in events.Scalars("eval/loss")] == [(5, 2.0)]


def fake(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """A stand-in for a library that is not installed, which notes how it is called."""
    library = MagicMock(spec_set=None)
    library.run = None
    library.active_run.return_value = None
    library.Task.current_task.return_value = None
    monkeypatch.setitem(sys.modules, name, library)
    assert not isinstance(library, ModuleType)
    return library


def test_trackers_are_called_as_their_makers_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    for name, module in LIBRARIES.items():
        library = made[name] = fake(monkeypatch, module)
        (callback,) = make_reporters([name])
        run(callback.sink, tmp_path)
        assert library.mock_calls, name
    wandb = made["wandb"]
    wandb.init.assert_called_once_with(project="huggingface", name="trial")
    wandb.init.return_value.log.assert_any_call({"eval/loss": 2.0, "train/global_step": 5})
    wandb.init.return_value.finish.assert_called_once_with()
    made["mlflow"].log_metrics.assert_any_call({"eval/loss": 2.0}, step=5)
    assert max(len(call.args[0]) for call in made["mlflow"].log_params.call_args_list) <= 100
    made["mlflow"].end_run.assert_called_once_with()
    made["comet_ml"].start.return_value.log_metrics.assert_any_call({"eval/loss": 2.0}, step=5)
    made["aim"].Run.return_value.track.assert_any_call(2.0, name="loss", step=5, context={"subset": "eval"})
    made["clearml"].Task.init.return_value.get_logger.return_value.report_scalar.assert_any_call(
        title="loss", series="eval", value=2.0, iteration=5
    )
    made["trackio"].log.assert_any_call({"eval/loss": 2.0}, step=5)
    made["trackio"].finish.assert_called_once_with()


def test_runs_that_are_open_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake(monkeypatch, "mlflow")
    library.active_run.return_value = object()
    (callback,) = make_reporters(["mlflow"])
    run(callback.sink, tmp_path)
    library.start_run.assert_not_called()
    library.end_run.assert_not_called()
