"""Teach an encoder-decoder to turn one text into another: JSON lines with `source` and `target`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_modeling import AutoModelForSeq2SeqLM
from hf_tokenize import AutoTokenizer
from hf_train import Seq2SeqTrainer, Seq2SeqTrainingArguments
from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.collators import DataCollatorForSeq2Seq


@dataclass
class Data:
    model_name: str = HfArg(help="Folder or Hub id of an encoder-decoder.")
    train_file: Path = HfArg(help='JSON lines: {"source": ..., "target": ...}.')
    validation_file: Path = HfArg(help="The same, to evaluate on.")
    max_length: int = HfArg(help="Tokens of a text; longer ones are cut.", default=256)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, evaluate, save; the metrics."""
    data, args = HfArgumentParser((Data, Seq2SeqTrainingArguments)).parse_args_into_dataclasses(arguments)
    tokenizer = AutoTokenizer.from_pretrained(data.model_name)
    model = AutoModelForSeq2SeqLM.from_pretrained(data.model_name)

    def rows(file: Path) -> list[dict[str, Any]]:
        pairs = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        return [
            {
                **tokenizer(pair["source"], truncation=True, max_length=data.max_length),
                "labels": tokenizer(text_target=pair["target"], truncation=True, max_length=data.max_length)[
                    "input_ids"
                ],
            }
            for pair in pairs
        ]

    trainer = Seq2SeqTrainer(
        model,
        args,
        DataCollatorForSeq2Seq(tokenizer),
        train_dataset=rows(data.train_file),
        eval_dataset=rows(data.validation_file),
        processing_class=tokenizer,
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(sys.argv[1:]))
