"""Events, control, state: what callbacks are told, in which order, and what they bring about."""

import io
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hf_hub_io.errors import HfError, MissingPackageError
from hf_train.arguments import TrainingArguments
from hf_train.callbacks import (
    CallbackError,
    CallbackHandler,
    DefaultFlowCallback,
    EarlyStoppingCallback,
    PrinterCallback,
    ProfilerCallback,
    ProgressCallback,
    SaveOnSignalCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainerStateError,
)
from hf_train.callbacks.progress import log_line

EVENTS = [name for name in vars(TrainerCallback) if name.startswith("on_")]


class Everything(TrainerCallback):
    """Notes each event and what came with it."""

    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard


for _event in EVENTS:

    def _note(
        self: Everything, args: Any, state: Any, control: Any, _name: str = _event, **context: Any
    ) -> None:
        self.heard.append((_name, context))

    setattr(Everything, _event, _note)


def arguments(**fields: Any) -> TrainingArguments:
    return TrainingArguments("unused", **fields)


def test_there_are_the_sixteen_events() -> None:
    assert len(EVENTS) == 16
    handler = CallbackHandler()
    assert all(callable(getattr(handler, event)) for event in EVENTS)


def test_every_event_reaches_every_callback_with_its_context() -> None:
    heard: list[Any] = []
    model = nn.Linear(1, 1)
    handler = CallbackHandler([Everything(heard), Everything(heard)], model, "tokenizer")
    for event in EVENTS:
        figures = {
            "on_log": [{"loss": 1.0}],
            "on_evaluate": [{"eval_loss": 1.0}],
            "on_predict": [{"test_loss": 1.0}],
        }
        getattr(handler, event)(arguments(), TrainerState(), TrainerControl(), *figures.get(event, []))
    assert [name for name, _ in heard] == [name for event in EVENTS for name in (event, event)]
    context = dict(heard)["on_log"]
    assert context["model"] is model
    assert context["processing_class"] == "tokenizer"
    assert context["logs"] == {"loss": 1.0}


def test_one_callback_cannot_take_figures_from_the_next() -> None:
    class Greedy(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **context: Any) -> None:
            context["logs"].clear()

    heard: list[Any] = []
    logs: dict[str, Any] = {"total_flos": 5.0}
    handler = CallbackHandler([Greedy, Everything(heard)])
    handler.on_log(arguments(), TrainerState(), TrainerControl(), logs)
    assert heard[0][1]["logs"] == logs == {"total_flos": 5.0}


def test_switches_are_reset_where_the_peer_resets_them() -> None:
    handler = CallbackHandler()
    control = TrainerControl(
        should_training_stop=True,
        should_epoch_stop=True,
        should_save=True,
        should_evaluate=True,
        should_log=True,
    )
    state = TrainerState()

    def on() -> set[str]:
        return {name for name, wanted in vars(control).items() if wanted}

    handler.on_step_begin(arguments(), state, control)
    assert on() == {"should_training_stop", "should_epoch_stop"}
    handler.on_epoch_begin(arguments(), state, control)
    assert on() == {"should_training_stop"}
    handler.on_train_begin(arguments(), state, control)
    assert on() == set()
    control.should_save = control.should_evaluate = control.should_log = True
    handler.on_save(arguments(), state, control)
    assert on() == {"should_evaluate", "should_log"}
    handler.on_evaluate(arguments(), state, control, {})
    handler.on_log(arguments(), state, control, {})
    assert on() == set()


def test_a_callback_may_return_a_control_of_its_own() -> None:
    class Replaces(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **context: Any) -> TrainerControl:
            return TrainerControl(should_log=True)

    control = CallbackHandler([Replaces]).on_step_end(arguments(), TrainerState(), TrainerControl())
    assert control.should_log


def test_callbacks_are_added_found_and_removed() -> None:
    handler = CallbackHandler([DefaultFlowCallback, PrinterCallback()])
    assert handler.callback_list == "DefaultFlowCallback\nPrinterCallback"
    assert isinstance(handler.pop_callback(PrinterCallback), PrinterCallback)
    with pytest.raises(CallbackError, match="no callback PrinterCallback") as caught:
        handler.remove_callback(PrinterCallback)
    assert isinstance(caught.value, HfError)


def flow(step: int, last: int = 10, **fields: Any) -> str:
    """The wishes of the default flow after a step, as letters."""
    args = arguments(**fields)
    state = TrainerState(global_step=step, max_steps=last)
    state.compute_steps(args, last)
    control = DefaultFlowCallback().on_step_end(args, state, TrainerControl())
    wishes = {"l": control.should_log, "e": control.should_evaluate, "s": control.should_save}
    return "".join(letter for letter, wanted in wishes.items() if wanted) + "." * control.should_training_stop


@pytest.mark.parametrize(
    ("step", "fields", "wishes"),
    [
        (1, {"logging_first_step": True}, "l"),
        (3, {"logging_steps": 3, "save_steps": 3}, "ls"),
        (4, {"logging_steps": 3}, ""),
        (4, {"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 4}, "e"),
        (2, {"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 4}, ""),
        (10, {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "no"}, "e."),
        (10, {"save_strategy": "steps", "save_steps": 7}, "s."),
        (10, {"save_strategy": "no"}, "."),
        (2, {"logging_steps": 0.2, "save_strategy": "no"}, "l"),
    ],
)
def test_the_default_flow_asks_for_what_is_due(step: int, fields: dict[str, Any], wishes: str) -> None:
    assert flow(step, **fields) == wishes


def test_epoch_strategies_are_due_at_the_end_of_epochs() -> None:
    args = arguments(logging_strategy="epoch", eval_strategy="epoch", save_strategy="epoch", eval_delay=2)
    first = DefaultFlowCallback().on_epoch_end(args, TrainerState(epoch=1), TrainerControl())
    assert (first.should_log, first.should_evaluate, first.should_save) == (True, False, True)
    second = DefaultFlowCallback().on_epoch_end(args, TrainerState(epoch=2), TrainerControl())
    assert second.should_evaluate


def test_early_stopping_waits_and_remembers() -> None:
    args = arguments(eval_strategy="steps", metric_for_best_model="accuracy", greater_is_better=True)
    stopping = EarlyStoppingCallback(early_stopping_patience=2, early_stopping_threshold=0.1)
    state = TrainerState()
    for best, value, stops in (
        (None, 0.5, False),
        (0.5, 0.55, False),
        (0.5, 0.7, False),
        (0.7, 0.7, False),
        (0.7, 0.6, True),
    ):
        state.best_metric = best
        control = TrainerControl()
        stopping.on_evaluate(args, state, control, metrics={"eval_accuracy": value})
        assert control.should_training_stop == stops
    assert stopping.state()["attributes"] == {"early_stopping_patience_counter": 2}
    with pytest.raises(CallbackError, match="set metric_for_best_model to one of: eval_loss"):
        stopping.on_evaluate(args, state, TrainerControl(), metrics={"eval_loss": 1.0})


@pytest.mark.parametrize(
    ("fields", "said"),
    [({}, "no metric to watch"), ({"metric_for_best_model": "loss"}, "eval_strategy is 'no'")],
)
def test_early_stopping_refuses_arguments_under_which_it_never_stops(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(CallbackError, match=said):
        EarlyStoppingCallback().on_train_begin(arguments(**fields), TrainerState(), TrainerControl())
    with pytest.raises(CallbackError, match="expected 1 or more"):
        EarlyStoppingCallback(0)


def test_the_state_survives_a_file(tmp_path: Path) -> None:
    state = TrainerState(global_step=7, epoch=0.5, log_history=[{"loss": 1.5, "step": 7}], best_metric=0.25)
    two = [EarlyStoppingCallback(2), EarlyStoppingCallback(3), DefaultFlowCallback(), TrainerControl()]
    state.remember(two)
    state.save_to_json(tmp_path / "trainer_state.json")
    assert TrainerState.load_from_json(tmp_path / "trainer_state.json") == state
    saved = json.loads((tmp_path / "trainer_state.json").read_text())["stateful_callbacks"]
    assert [one["args"]["early_stopping_patience"] for one in saved["EarlyStoppingCallback"]] == [2, 3]
    assert set(saved) == {"EarlyStoppingCallback", "TrainerControl"}


@pytest.mark.parametrize(
    ("values", "said"),
    [({"global_stp": 1}, "did you mean 'global_step'"), ({"global_step": "seven"}, "global_step is 'seven'")],
)
def test_a_file_that_is_no_state_is_named(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    file = tmp_path / "trainer_state.json"
    file.write_text(json.dumps(values))
    with pytest.raises(TrainerStateError, match=said) as caught:
        TrainerState.load_from_json(file)
    assert "trainer_state.json" in str(caught.value)


def test_a_line_of_figures() -> None:
    line = log_line({"loss": 2.123456, "total_flos": 1e9, "note": "x" * 200, "step": 3, "rates": [1, 2]})
    assert line.startswith("loss: 2.123, note: xxx")
    assert line.endswith("..., step: 3, rates: [1, 2]") or "[1" in line
    assert "total_flos" not in line
    stream = io.StringIO()
    PrinterCallback(stream).on_log(arguments(), TrainerState(), TrainerControl(), logs={"loss": 1.0})
    assert stream.getvalue() == "loss: 1\n"


@pytest.mark.parametrize("style", ["tqdm", "rich"])
def test_bars_move_and_close(style: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(style)
    args, state, control = arguments(), TrainerState(max_steps=4, global_step=1), TrainerControl()
    handler = CallbackHandler([ProgressCallback(style)])
    handler.eval_dataloader = [1, 2]
    handler.on_train_begin(args, state, control)
    for step in (2, 3, 4):
        state.global_step = step
        handler.on_step_end(args, state, control)
    handler.on_log(args, state, control, {"loss": 0.5})
    handler.on_prediction_step(args, state, control)
    handler.on_evaluate(args, state, control, {})
    handler.on_train_end(args, state, control)
    shown = "".join(capsys.readouterr())
    assert "4/4" in shown
    assert "loss: 0.5" in shown


def test_a_bar_without_its_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(MissingPackageError, match="tqdm"):
        ProgressCallback("tqdm").on_train_begin(arguments(), TrainerState(), TrainerControl())


def test_a_few_steps_are_profiled(tmp_path: Path) -> None:
    args, state, control = arguments(), TrainerState(max_steps=5), TrainerControl()
    profiler = ProfilerCallback(tmp_path / "trace", wait=1, warmup=1, active=2)
    profiler.on_train_begin(args, state, control)
    for _ in range(5):
        torch.ones(8, 8) @ torch.ones(8, 8)
        profiler.on_step_end(args, state, control)
    profiler.on_train_end(args, state, control)
    (trace,) = (tmp_path / "trace").glob("trace-*.json")
    assert "traceEvents" in json.loads(trace.read_text())
    assert "aten::" in (tmp_path / "trace" / "summary.txt").read_text()
    with pytest.raises(CallbackError, match="cannot profile 0 steps"):
        ProfilerCallback(tmp_path, active=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_and_the_next_acts_as_before(number: signal.Signals) -> None:
    args, state, control = arguments(), TrainerState(), TrainerControl()
    before = signal.getsignal(number)
    callback = SaveOnSignalCallback()
    callback.on_train_begin(args, state, control)
    callback.on_step_end(args, state, control)
    assert control == TrainerControl()
    os.kill(os.getpid(), number)
    callback.on_step_end(args, state, control)
    assert control == TrainerControl(should_save=True, should_training_stop=True)
    assert callback.received == number
    assert signal.getsignal(number) == before
    callback.on_train_end(args, state, control)
    assert signal.getsignal(number) == before


def test_signals_are_left_alone_outside_of_the_main_thread() -> None:
    callback = SaveOnSignalCallback()
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(
        target=callback.on_train_begin, args=(arguments(), TrainerState(), TrainerControl())
    )
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
