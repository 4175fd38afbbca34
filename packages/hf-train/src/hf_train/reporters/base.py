"""What a reporter is: somewhere to send the figures of a run, told when it begins, of every record, and its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack, final

from hf_config.errors import suggest
from hf_hub_io import JsonValue
from hf_hub_io.errors import HfError, MissingPackageError
from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import Logs, TrainerControl, TrainerState

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

GROUP = "hf_train.reporters"


class ReporterError(HfError, LookupError):
    """No installed package brings the reporter that was asked for."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a reporter is told at the beginning.

    `step` is 0, or where a resumed run goes on. `config` holds the arguments and the model's configuration, plain
    values under their names, access tokens left out.
    """

    name: str
    project: str
    output_dir: Path
    step: int
    config: Mapping[str, JsonValue]


class Sink(Protocol):
    """A tracker, database or file that keeps figures."""

    def start(self, run: RunInfo) -> None:
        """A run begins, or is resumed."""
        ...

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """Numbers at a step, named `train/loss`, `eval/accuracy` and so on."""
        ...

    def finish(self) -> None:
        """The run is over; flush and close."""
        ...


@final
class ReporterCallback(TrainerCallback):
    """Sends every log of the main process to a sink."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._open = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Begin the run."""
        self._begin(args, state, context)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Pass the numbers on. An evaluation outside of training opens a run of its own."""
        if not state.is_world_process_zero:
            return
        if not self._open:
            self._begin(args, state, context)
        self.sink.record(rewrite_logs(context.get("logs", {})), state.global_step)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """End the run."""
        if self._open:
            self.sink.finish()
            self._open = False

    def _begin(self, args: TrainingArguments, state: TrainerState, context: EventContext) -> None:
        if state.is_world_process_zero and not self._open:
            self.sink.start(_run_info(args, state, context))
            self._open = True


def _run_info(args: TrainingArguments, state: TrainerState, context: EventContext) -> RunInfo:
    config: dict[str, JsonValue] = dict(args.to_sanitized_dict())
    model_config = getattr(context.get("model"), "config", None)
    to_dict: Callable[[], dict[str, JsonValue]] | None = getattr(model_config, "to_dict", None)
    if to_dict is not None:
        config |= {f"model/{name}": value for name, value in to_dict().items()}
    if state.trial_params:
        config |= {f"trial/{name}": value for name, value in state.trial_params.items()}
    output_dir = Path(args.output_dir)
    return RunInfo(
        name=state.trial_name or args.run_name or output_dir.name,
        project=args.project,
        output_dir=output_dir,
        step=state.global_step,
        config={name: value for name, value in config.items() if not name.endswith("_token")},
    )


def rewrite_logs(logs: Logs) -> dict[str, float]:
    """The numbers among `logs` under the names trackers group by: `eval_x` as `eval/x`, `x` as `train/x`."""
    named: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        prefix, _, rest = name.partition("_")
        named[f"{prefix}/{rest}" if prefix in ("eval", "test") and rest else f"train/{name}"] = float(value)
    return named


def reporters() -> dict[str, EntryPoint]:
    """The reporters of all installed packages by name, found without importing them."""
    return {point.name: point for point in entry_points(group=GROUP)}


def make_reporters(names: Iterable[str]) -> list[ReporterCallback]:
    """A callback for each name; "all" stands for every reporter whose library is installed.

    Raises:
        ReporterError: no package registers the name. MissingPackageError: its library is not installed.
    """
    known, made = reporters(), []
    for name in names:
        if name == "none":
            continue
        if name == "all":
            made += [ReporterCallback(sink) for sink in map(_installed, known.values()) if sink is not None]
            continue
        if name not in known:
            raise ReporterError(
                f"no reporter is called {name!r}{suggest(name, known)} (installed: {', '.join(sorted(known))})",
                fix="take it out of report_to, or install the package that brings it",
            )
        made.append(ReporterCallback(_make(known[name])))
    return made


def _make(point: EntryPoint) -> Sink:
    factory: Callable[[], Sink] = point.load()
    return factory()


def _installed(point: EntryPoint) -> Sink | None:
    try:
        return _make(point)
    except MissingPackageError:
        return None


def environment(name: str, default: str | None = None) -> str | None:
    """A setting that trackers take from the environment; empty counts as missing."""
    return os.environ.get(name) or default
