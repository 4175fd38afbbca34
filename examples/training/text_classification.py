"""Teach an encoder to sort texts: JSON lines with `text` and `label`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_modeling import AutoModelForSequenceClassification
from hf_tokenize import AutoTokenizer
from hf_train import Trainer, TrainingArguments
from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.collators import DataCollatorWithPadding
from hf_train.evaluation.metrics import F1


@dataclass
class Data:
    model_name: str = HfArg(help="Folder or Hub id of an encoder.")
    train_file: Path = HfArg(help='JSON lines: {"text": ..., "label": ...}.')
    validation_file: Path = HfArg(help="The same, to evaluate on.")
    max_length: int = HfArg(help="Tokens of a row; longer texts are cut.", default=256)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, evaluate, save; the metrics."""
    data, args = HfArgumentParser((Data, TrainingArguments)).parse_args_into_dataclasses(arguments)
    tokenizer = AutoTokenizer.from_pretrained(data.model_name)
    examples = [json.loads(line) for line in data.train_file.read_text("utf-8").splitlines()]
    held_out = [json.loads(line) for line in data.validation_file.read_text("utf-8").splitlines()]
    names = sorted({example["label"] for example in examples})

    def rows(source: list[dict[str, Any]]) -> list[dict[str, Any]]:
        encoded = (tokenizer(row["text"], truncation=True, max_length=data.max_length) for row in source)
        return [{**row, "label": names.index(one["label"])} for row, one in zip(encoded, source, strict=True)]

    model = AutoModelForSequenceClassification.from_pretrained(
        data.model_name,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        allow_missing=("classifier.*", "score.*", "*pooler*"),  # the head is new
        allow_unexpected=("cls.*", "lm_head.*"),
    )
    trainer = Trainer(
        model,
        args,
        DataCollatorWithPadding(tokenizer),
        train_dataset=rows(examples),
        eval_dataset=rows(held_out),
        processing_class=tokenizer,
        compute_metrics=F1(len(names)),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(sys.argv[1:]))
