"""Callbacks: what happens around the steps of training, and how a caller takes part."""

from hf_train.callbacks.base import Event, EventContext, TrainerCallback
from hf_train.callbacks.flow import DefaultFlowCallback, EarlyStoppingCallback
from hf_train.callbacks.handler import CallbackHandler, CallbackLike
from hf_train.callbacks.profiler import ProfilerCallback
from hf_train.callbacks.progress import PrinterCallback, ProgressCallback
from hf_train.callbacks.signals import SaveOnSignalCallback
from hf_train.callbacks.state import (
    TRAINER_STATE_NAME,
    CallbackError,
    ExportableState,
    Logs,
    TrainerControl,
    TrainerState,
    TrainerStateError,
)

__all__ = [
    "TRAINER_STATE_NAME",
    "CallbackError",
    "CallbackHandler",
    "CallbackLike",
    "DefaultFlowCallback",
    "EarlyStoppingCallback",
    "Event",
    "EventContext",
    "ExportableState",
    "Logs",
    "PrinterCallback",
    "ProfilerCallback",
    "ProgressCallback",
    "SaveOnSignalCallback",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainerStateError",
]
