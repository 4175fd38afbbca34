"""Ending well when asked to: a checkpoint is saved and training stops after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Unpack

from hf_train.callbacks.base import EventContext, TrainerCallback
from hf_train.callbacks.state import TrainerControl, TrainerState

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments


Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


class SaveOnSignalCallback(TrainerCallback):
    """Turns SIGTERM and SIGINT into a checkpoint and an orderly end; a second signal acts as it always did.

    Clusters send SIGTERM some seconds before they take a machine away. Handlers are put in place when training
    begins, in the main thread only, where Python lets signals arrive, and the earlier ones come back when it ends.

    Attributes:
        received: the signal that ended training, None if none came. A program should exit with 128 + this number.
    """

    def __init__(self, signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)) -> None:
        self.signals = signals
        self.received: signal.Signals | None = None
        # What each signal did before, as `signal.signal` returns it: a function, an enum member or None.
        self._before: dict[signal.Signals, Handler] = {}

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Listen."""
        self.received = None
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._before[number] = signal.signal(number, self._note)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Save and stop if a signal came during the step."""
        if self.received is not None:
            control.should_save = True
            control.should_training_stop = True

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **context: Unpack[EventContext],
    ) -> None:
        """Give the signals back."""
        self.release()

    def release(self) -> None:
        """Put the earlier handlers back; harmless when nothing was put in place."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        self.release()
