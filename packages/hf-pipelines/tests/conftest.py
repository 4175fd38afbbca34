"""A tiny BERT of every kind, made here, over a vocabulary of letters and a few words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch

import hf_modeling
from hf_config import BertConfig

MakeFolder = Callable[..., Path]
WORDS = ["paris", "is", "the", "capital", "of", "france", "bats", "eat", "moths", "hello", "world", ".", ","]
TWO_LABELS = {0: "LABEL_0", 1: "LABEL_1"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> MakeFolder:
    """Makes a checkpoint folder for a class of hf_modeling, such as "BertForMaskedLM"; once for each setting."""
    made: dict[str, Path] = {}

    def make(name: str, *, id2label: dict[int, str] = TWO_LABELS) -> Path:
        key = f"{name}{id2label}"
        if key not in made:
            path = tmp_path_factory.mktemp(name)
            special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            vocabulary = [*special, *WORDS, *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
            (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
            roles = {"tokenizer_class": "BertTokenizer", "model_max_length": 32}
            (path / "tokenizer_config.json").write_text(json.dumps(roles))
            config = BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=32,
                initializer_range=0.5,
                id2label=id2label,
            )
            torch.manual_seed(0)
            getattr(hf_modeling, name)(config).save_pretrained(path)
            made[key] = path
        return made[key]

    return make
