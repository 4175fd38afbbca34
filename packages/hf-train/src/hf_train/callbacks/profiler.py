"""Where the time of a training step goes: a trace of a few steps, for a browser or TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import CallbackError, TrainerControl, TrainerState

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments


class ProfilerCallback(TrainerCallback):
    """Records `active` steps after `wait + warmup` ones and writes `trace-{step}.json` and `summary.txt`.

    Args:
        folder: where to; made if missing. Open a trace at chrome://tracing or in Perfetto.
        wait, warmup, active: steps not looked at, looked at but thrown away, and kept.
        memory: also record allocations, which slows the steps down.
    """

    def __init__(
        self, folder: str | Path, *, wait: int = 2, warmup: int = 1, active: int = 3, memory: bool = False
    ) -> None:
        if wait < 0 or warmup < 0 or active < 1:
            raise CallbackError(f"cannot profile {active} steps after {wait} + {warmup}")
        self.folder = Path(folder)
        self._schedule = schedule(wait=wait, warmup=warmup, active=active, repeat=1)
        self._memory = memory
        self._profile: profile | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Start, on the first process only."""
        if not state.is_world_process_zero:
            return
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=self._schedule,
            on_trace_ready=self._write,
            profile_memory=self._memory,
        )
        self._profile.start()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """One step further."""
        if self._profile is not None:
            self._profile.step()

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Stop, whatever was recorded."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _write(self, recorded: profile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        recorded.export_chrome_trace(str(self.folder / f"trace-{recorded.step_num}.json"))
        table = recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=30)
        (self.folder / "summary.txt").write_text(table, encoding="utf-8")
