"""A Trainer whose numbers can be trusted."""

from hf_train.arguments import Seq2SeqTrainingArguments, TrainingArguments
from hf_train.callbacks import (
    DefaultFlowCallback,
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from hf_train.errors import (
    ArgumentsError,
    LabelRangeError,
    MetricError,
    NoLabelsError,
    NonFiniteError,
    RemovedArgumentError,
    ResumeError,
    TrainingDataError,
    TrainingModelError,
)
from hf_train.outputs import EvalLoopOutput, EvalPrediction, PredictionOutput, TrainOutput
from hf_train.seq2seq import Seq2SeqTrainer
from hf_train.strategies import (
    DataParallel,
    SingleDevice,
    Strategy,
    UnknownStrategyError,
    strategies,
    strategy,
)
from hf_train.trainer import Trainer

__all__ = [
    "ArgumentsError",
    "DataParallel",
    "DefaultFlowCallback",
    "EarlyStoppingCallback",
    "EvalLoopOutput",
    "EvalPrediction",
    "LabelRangeError",
    "MetricError",
    "NoLabelsError",
    "NonFiniteError",
    "PredictionOutput",
    "PrinterCallback",
    "ProgressCallback",
    "RemovedArgumentError",
    "ResumeError",
    "Seq2SeqTrainer",
    "Seq2SeqTrainingArguments",
    "SingleDevice",
    "Strategy",
    "TrainOutput",
    "Trainer",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainingArguments",
    "TrainingDataError",
    "TrainingModelError",
    "UnknownStrategyError",
    "strategies",
    "strategy",
]
