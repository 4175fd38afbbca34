"""A Trainer whose numbers can be trusted."""

from hf_train.arguments import Seq2SeqTrainingArguments, TrainingArguments
from hf_train.strategies import SingleDevice, Strategy, UnknownStrategyError, strategies, strategy

__all__ = [
    "Seq2SeqTrainingArguments",
    "SingleDevice",
    "Strategy",
    "TrainingArguments",
    "UnknownStrategyError",
    "strategies",
    "strategy",
]
