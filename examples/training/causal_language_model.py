"""Teach a decoder to continue texts: one text a line, packed into full rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_modeling import AutoModelForCausalLM
from hf_tokenize import AutoTokenizer
from hf_train import Trainer, TrainingArguments
from hf_train.argparser import HfArg, HfArgumentParser
from hf_train.collators import PackedCollator, pack
from hf_train.evaluation.metrics import Accuracy


@dataclass
class Data:
    model_name: str = HfArg(help="Folder or Hub id of a decoder.")
    train_file: Path = HfArg(help="Texts, one a line.")
    validation_file: Path = HfArg(help="Texts to evaluate on.")
    block_size: int = HfArg(help="Tokens of a row.", default=256)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Train, evaluate, save; the metrics."""
    data, args = HfArgumentParser((Data, TrainingArguments)).parse_args_into_dataclasses(arguments)
    tokenizer = AutoTokenizer.from_pretrained(data.model_name)
    model = AutoModelForCausalLM.from_pretrained(data.model_name, dtype="float32")

    def rows(file: Path) -> list[dict[str, list[int]]]:
        lines = [line for line in file.read_text("utf-8").splitlines() if line.strip()]
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        return pack(({"input_ids": ids + end} for ids in tokenizer(lines)["input_ids"]), data.block_size)

    trainer = Trainer(
        model,
        args,
        PackedCollator(pad_token_id=tokenizer.pad_token_id or 0),
        train_dataset=rows(data.train_file),
        eval_dataset=rows(data.validation_file),
        processing_class=tokenizer,
        compute_metrics=Accuracy(shift=True),
    )
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model()
    return trainer.evaluate()


if __name__ == "__main__":
    print(main(sys.argv[1:]))
