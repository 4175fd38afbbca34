"""Reporters: where the figures of a run go, by the names in `report_to`. None is on unless it is asked for.

A package adds one by an entry point of the group `hf_train.reporters`: a name, and a callable without arguments
that gives a `Sink`.
"""

from hf_train.reporters.base import (
    ReporterCallback,
    ReporterError,
    RunInfo,
    Sink,
    make_reporters,
    reporters,
    rewrite_logs,
)
from hf_train.reporters.files import Csv, JsonLines
from hf_train.reporters.trackers import (
    Aim,
    ClearML,
    Comet,
    MLflow,
    TensorBoard,
    Trackio,
    WeightsAndBiases,
)

__all__ = [
    "Aim",
    "ClearML",
    "Comet",
    "Csv",
    "JsonLines",
    "MLflow",
    "ReporterCallback",
    "ReporterError",
    "RunInfo",
    "Sink",
    "TensorBoard",
    "Trackio",
    "WeightsAndBiases",
    "make_reporters",
    "reporters",
    "rewrite_logs",
]
