"""Teach an encoder to point at answers: JSON lines with `question`, `context` and `answers`, as in SQuAD."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_modeling import AutoModelForQuestionAnswering
from hf_tokenize import AutoTokenizer
from hf_train import Trainer, TrainingArguments
from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.collators import Row, default_data_collator
from hf_train.jobs import DataSpec
from hf_train.jobs.spans import SpanAccuracy, answer_rows


@dataclass
class Data:
    model_name: str = HfArg(help="Folder or Hub id of an encoder.")
    train_file: Path = HfArg(help="JSON lines of questions.")
    validation_file: Path = HfArg(help="The same, to evaluate on.")
    max_length: int = HfArg(help="Tokens of a row; a longer context becomes several rows.", default=384)
    stride: int = HfArg(help="Tokens that such rows share.", default=128)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, evaluate, save; the metrics."""
    data, args = HfArgumentParser((Data, TrainingArguments)).parse_args_into_dataclasses(arguments)
    tokenizer = AutoTokenizer.from_pretrained(data.model_name)
    spec = DataSpec(train=str(data.train_file), max_length=data.max_length, stride=data.stride)

    def rows(file: Path) -> list[Row]:
        questions = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        return list(answer_rows(questions, tokenizer, spec, str(file)))

    model = AutoModelForQuestionAnswering.from_pretrained(
        data.model_name,
        allow_missing=("qa_outputs.*",),  # the head is new
        allow_unexpected=("cls.*", "lm_head.*", "*pooler*"),
    )
    trainer = Trainer(
        model,
        args,
        default_data_collator,
        train_dataset=rows(data.train_file),
        eval_dataset=rows(data.validation_file),
        processing_class=tokenizer,
        compute_metrics=SpanAccuracy(),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(sys.argv[1:]))
