"""What a run is told: `TrainingArguments`, how its values are checked, and where each came from."""

from hf_train.arguments.removed import REMOVED, RENAMED, RenamedArgumentWarning
from hf_train.arguments.resolved import Setting, resolve, table
from hf_train.arguments.seq2seq import Seq2SeqTrainingArguments
from hf_train.arguments.training import TrainingArguments
from hf_train.arguments.values import HubStrategy, Interval, OnNonfinite, Sampling, SaveStrategy, TokenCount

__all__ = [
    "REMOVED",
    "RENAMED",
    "HubStrategy",
    "Interval",
    "OnNonfinite",
    "RenamedArgumentWarning",
    "Sampling",
    "SaveStrategy",
    "Seq2SeqTrainingArguments",
    "Setting",
    "TokenCount",
    "TrainingArguments",
    "resolve",
    "table",
]
