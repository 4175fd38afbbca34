"""Collators: rows of a dataset become the batch that a model takes."""

from hf_train.collators.common import Batch, CollatorError, Padder, Row
from hf_train.collators.completion import DataCollatorForCompletionOnlyLM, chat_row, completion_row
from hf_train.collators.language import (
    DataCollatorForLanguageModeling,
    DataCollatorForPermutationLanguageModeling,
)
from hf_train.collators.packing import DataCollatorWithFlattening, PackedCollator, pack
from hf_train.collators.plain import (
    DataCollatorForMultipleChoice,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    DefaultDataCollator,
    default_data_collator,
)

__all__ = [
    "Batch",
    "CollatorError",
    "DataCollatorForCompletionOnlyLM",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForPermutationLanguageModeling",
    "DataCollatorForSeq2Seq",
    "DataCollatorForTokenClassification",
    "DataCollatorWithFlattening",
    "DataCollatorWithPadding",
    "DefaultDataCollator",
    "PackedCollator",
    "Padder",
    "Row",
    "chat_row",
    "completion_row",
    "default_data_collator",
    "pack",
]
