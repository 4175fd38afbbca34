"""Teach an encoder to tag words: JSON lines with `tokens` and `tags`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_modeling import AutoModelForTokenClassification
from hf_tokenize import AutoTokenizer
from hf_train import Trainer, TrainingArguments
from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.collators import DataCollatorForTokenClassification
from hf_train.evaluation.metrics import F1


@dataclass
class Data:
    model_name: str = HfArg(help="Folder or Hub id of an encoder.")
    train_file: Path = HfArg(help='JSON lines: {"tokens": [...], "tags": [...]}.')
    validation_file: Path = HfArg(help="The same, to evaluate on.")
    max_length: int = HfArg(help="Tokens of a row; longer texts are cut.", default=256)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, evaluate, save; the metrics."""
    data, args = HfArgumentParser((Data, TrainingArguments)).parse_args_into_dataclasses(arguments)
    tokenizer = AutoTokenizer.from_pretrained(data.model_name)
    examples = [json.loads(line) for line in data.train_file.read_text("utf-8").splitlines()]
    held_out = [json.loads(line) for line in data.validation_file.read_text("utf-8").splitlines()]
    names = sorted({tag for example in examples for tag in example["tags"]})

    def row(example: dict[str, Any]) -> dict[str, Any]:
        encoded = tokenizer(
            example["tokens"], is_split_into_words=True, truncation=True, max_length=data.max_length
        )
        labels, before = [], None
        for word in encoded.word_ids():  # a word is tagged at its first token
            first = word is not None and word != before
            labels.append(names.index(example["tags"][word]) if first else -100)
            before = word
        return {**encoded, "labels": labels}

    model = AutoModelForTokenClassification.from_pretrained(
        data.model_name,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        allow_missing=("classifier.*", "score.*"),  # the head is new
        allow_unexpected=("cls.*", "lm_head.*", "*pooler*"),
    )
    trainer = Trainer(
        model,
        args,
        DataCollatorForTokenClassification(tokenizer),
        train_dataset=[row(example) for example in examples],
        eval_dataset=[row(example) for example in held_out],
        processing_class=tokenizer,
        compute_metrics=F1(len(names)),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(sys.argv[1:]))
