"""How training shows itself in a terminal: a bar (tqdm or rich), or plain lines."""

from __future__ import annotations

import sys
from collections.abc import Sized
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, TextIO, Unpack, final

from hf_hub_io import JsonValue, dump_json
from hf_hub_io.errors import MissingPackageError
from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import Logs, TrainerControl, TrainerState

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments


class Bar(Protocol):
    """A bar on the screen."""

    def advance(self, count: int) -> None:
        """Move by `count`."""
        ...

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        ...

    def close(self) -> None:
        """Leave the bar as it is and give the line back."""
        ...


class ProgressCallback(TrainerCallback):
    """A bar over the steps of training, one over the batches of each evaluation, and every log above them.

    Args:
        style: "tqdm", "rich", or None for tqdm if it is installed and rich otherwise.
        max_str_len: longer texts in logs are cut.
    """

    def __init__(self, style: Literal["tqdm", "rich"] | None = None, *, max_str_len: int = 100) -> None:
        self.style: Literal["tqdm", "rich"] = style or ("tqdm" if find_spec("tqdm") else "rich")
        self.max_str_len = max_str_len
        self._training: Bar | None = None
        self._prediction: Bar | None = None
        self._step = 0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Open the bar of training where it was left."""
        if state.is_world_process_zero:
            self._training = _bar(self.style, state.max_steps, "training")
            self._training.advance(state.global_step)
        self._step = state.global_step

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Move the bar of training."""
        if self._training is not None:
            self._training.advance(state.global_step - self._step)
        self._step = state.global_step

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Move the bar of the evaluation; it is opened at its first batch, if their number is known."""
        batches = _length(context.get("eval_dataloader"))
        if not state.is_world_process_zero or batches is None:
            return
        if self._prediction is None:
            self._prediction = _bar(self.style, batches, "evaluating")
        self._prediction.advance(1)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Close the bar of the evaluation."""
        self._end_prediction()

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Close the bar of the prediction."""
        self._end_prediction()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Print the figures above the bar."""
        if self._training is not None:
            self._training.write(log_line(context.get("logs", {}), self.max_str_len))

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Close all bars."""
        self._end_prediction()
        if self._training is not None:
            self._training.close()
            self._training = None

    def _end_prediction(self) -> None:
        if self._prediction is not None:
            self._prediction.close()
            self._prediction = None


class PrinterCallback(TrainerCallback):
    """Every log as one line of text.

    Args:
        stream: where to; None for standard output at the time of printing.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Print the figures, on the first process of a machine."""
        if state.is_local_process_zero:
            stream = self.stream or sys.stdout
            stream.write(log_line(context.get("logs", {})) + "\n")
            stream.flush()


def log_line(logs: Logs, max_str_len: int = 100) -> str:
    """`logs` on one line: four digits of every number, no `total_flos`, long texts cut."""
    return ", ".join(
        f"{name}: {_shown(value, max_str_len)}" for name, value in logs.items() if name != "total_flos"
    )


def _shown(value: JsonValue, width: int) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else dump_json(value, indent=None).strip()
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _length(loader: object) -> int | None:
    """The number of batches; None for a loader over a stream, whose `__len__` raises."""
    if not isinstance(loader, Sized):
        return None
    try:
        return len(loader)
    except TypeError:
        return None


def _bar(style: Literal["tqdm", "rich"], total: int, label: str) -> Bar:
    return _TqdmBar(total, label) if style == "tqdm" else _RichBar(total, label)


@final
class _TqdmBar:
    def __init__(self, total: int, label: str) -> None:
        try:
            tqdm = import_module("tqdm.auto").tqdm
        except ImportError as error:
            raise MissingPackageError("tqdm", "a progress bar") from error
        self._bar = tqdm(total=total, desc=label, dynamic_ncols=True, leave=label == "training")

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def write(self, line: str) -> None:
        self._bar.write(line)

    def close(self) -> None:
        self._bar.close()


@final
class _RichBar:
    def __init__(self, total: int, label: str) -> None:
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError as error:
            raise MissingPackageError("rich", "a progress bar") from error
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=label != "training")
        self._task = self._progress.add_task(label, total=total)
        self._progress.start()

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def write(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False)

    def close(self) -> None:
        self._progress.stop()
