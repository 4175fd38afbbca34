"""`Seq2SeqTrainingArguments`: what evaluation by generation needs besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hf_config import GenerationConfig
from hf_train.arguments.removed import accept_old_names
from hf_train.arguments.training import TrainingArguments


@accept_old_names
@dataclass(frozen=True, kw_only=True)
class Seq2SeqTrainingArguments(TrainingArguments):
    """`TrainingArguments` with options of generation in evaluation and prediction."""

    sortish_sampler: bool = field(
        default=False,
        metadata={"help": "Order training data by length: train_sampling_strategy='group_by_length'."},
    )
    predict_with_generate: bool = field(
        default=False, metadata={"help": "Let metrics see generated tokens in place of logits."}
    )
    generation_max_length: int | None = field(
        default=None, metadata={"help": "Longest generated sequence; as the model says if not set."}
    )
    generation_num_beams: int | None = field(
        default=None, metadata={"help": "Beams of generation; as the model says if not set."}
    )
    generation_config: str | Path | GenerationConfig | None = field(
        default=None, metadata={"help": "Options of generation: a repository, a folder, or the options."}
    )

    def __post_init__(self) -> None:
        if self.sortish_sampler and self.train_sampling_strategy == "random":
            object.__setattr__(self, "train_sampling_strategy", "group_by_length")
        super().__post_init__()
