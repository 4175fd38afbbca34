"""Models of a few thousand parameters, rows of random tokens, and arguments that say nothing on the screen."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from hf_config.families.llama import LlamaConfig
from hf_modeling import LlamaForCausalLM, LlamaForSequenceClassification
from hf_train.arguments import TrainingArguments

VOCABULARY = 53
Row = dict[str, Any]


def _config(dropout: float) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        attention_dropout=dropout,
        pad_token_id=0,
    )


def tiny_llama(seed: int = 0, *, dropout: float = 0.0) -> LlamaForCausalLM:
    """A causal language model with two blocks of width 16, the same for the same seed."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(_config(dropout))


def tiny_classifier(seed: int = 0, *, labels: int = 3) -> LlamaForSequenceClassification:
    """The same with a head that tells `labels` classes apart."""
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(_config(0.0).replace(num_labels=labels))


def token_rows(count: int, *, length: int = 12, seed: int = 1, masked: bool = True) -> list[Row]:
    """Rows of random tokens of one length; `masked` leaves between 0 and 7 of the labels out, row by row."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[Row] = []
    for number in range(count):
        ids = torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()
        hidden = number * 5 % min(8, length - 1) if masked else 0
        rows.append({"input_ids": ids, "labels": [-100] * hidden + ids[hidden:]})
    return rows


@final
class Rows(Dataset[Any]):
    """A map-style dataset that changes one token of each row at random, as augmentation does."""

    def __init__(self, rows: Sequence[Row], *, noise: bool = False) -> None:
        self.rows, self.noise = rows, noise

    def __getitem__(self, number: int) -> Row:
        row = self.rows[number]
        if not self.noise:
            return row
        ids = list(row["input_ids"])
        ids[random.randrange(len(ids))] = int(torch.randint(3, VOCABULARY, ()))
        return {**row, "input_ids": ids}

    def __len__(self) -> int:
        return len(self.rows)


@final
class Stream(IterableDataset[Any]):
    """The same as a stream, divided among workers; with `stateful` it can say where it is and go there."""

    def __init__(self, rows: Sequence[Row], *, noise: bool = False) -> None:
        self.rows, self.noise = rows, noise

    def __iter__(self) -> Iterator[Row]:
        info = torch.utils.data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        dataset = Rows(self.rows, noise=self.noise)
        for number in range(first, len(self.rows), step):
            yield dataset[number]


def quiet(folder: str | Path, **changes: Any) -> TrainingArguments:
    """Arguments for a short run on the CPU that prints nothing but what is asked for."""
    settings: dict[str, Any] = {
        "use_cpu": True,
        "disable_tqdm": True,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
    }
    return TrainingArguments(str(folder), **{**settings, **changes})


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same_weights(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    """Whether both have the same names with bitwise equal values."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
