"""Teach an encoder to guess masked tokens: one text a line, new masks every epoch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_modeling import AutoModelForMaskedLM
from hf_tokenize import AutoTokenizer
from hf_train import Trainer, TrainingArguments
from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.collators import DataCollatorForLanguageModeling
from hf_train.evaluation.metrics import Accuracy


@dataclass
class Data:
    model_name: str = HfArg(help="Folder or Hub id of an encoder.")
    train_file: Path = HfArg(help="Texts, one a line.")
    validation_file: Path = HfArg(help="Texts to evaluate on.")
    mlm_probability: float = HfArg(help="Share of tokens to guess.", default=0.15)
    max_length: int = HfArg(help="Tokens of a row; longer texts are cut.", default=256)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, evaluate, save; the metrics."""
    data, args = HfArgumentParser((Data, TrainingArguments)).parse_args_into_dataclasses(arguments)
    tokenizer = AutoTokenizer.from_pretrained(data.model_name)
    model = AutoModelForMaskedLM.from_pretrained(data.model_name)

    def rows(file: Path) -> list[dict[str, Any]]:
        lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
        return [dict(tokenizer(line, truncation=True, max_length=data.max_length)) for line in lines]

    trainer = Trainer(
        model,
        args,
        DataCollatorForLanguageModeling(tokenizer, mlm_probability=data.mlm_probability),
        train_dataset=rows(data.train_file),
        eval_dataset=rows(data.validation_file),
        processing_class=tokenizer,
        compute_metrics=Accuracy(),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(sys.argv[1:]))
