"""A Trainer whose numbers can be trusted."""

from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.arguments import Seq2SeqTrainingArguments, TrainingArguments
from hf_train.callbacks import (
    DefaultFlowCallback,
    EarlyStoppingCallback,
    PrinterCallback,
    ProfilerCallback,
    ProgressCallback,
    SaveOnSignalCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from hf_train.collators import (
    DataCollatorForCompletionOnlyLM,
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForPermutationLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithFlattening,
    DataCollatorWithPadding,
    DefaultDataCollator,
    default_data_collator,
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
from hf_train.optim import make_optimizer
from hf_train.outputs import EvalLoopOutput, EvalPrediction, PredictionOutput, TrainOutput
from hf_train.overflow import DebugUnderflowOverflow
from hf_train.schedules import make_schedule
from hf_train.search import BestRun, hyperparameter_search
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
    "BestRun",
    "DataCollatorForCompletionOnlyLM",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForPermutationLanguageModeling",
    "DataCollatorForSeq2Seq",
    "DataCollatorForTokenClassification",
    "DataCollatorWithFlattening",
    "DataCollatorWithPadding",
    "DataParallel",
    "DebugUnderflowOverflow",
    "DefaultDataCollator",
    "DefaultFlowCallback",
    "EarlyStoppingCallback",
    "EvalLoopOutput",
    "EvalPrediction",
    "HfArg",
    "HfArgumentParser",
    "LabelRangeError",
    "MetricError",
    "NoLabelsError",
    "NonFiniteError",
    "PredictionOutput",
    "PrinterCallback",
    "ProfilerCallback",
    "ProgressCallback",
    "RemovedArgumentError",
    "ResumeError",
    "SaveOnSignalCallback",
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
    "default_data_collator",
    "hyperparameter_search",
    "make_optimizer",
    "make_schedule",
    "strategies",
    "strategy",
]
