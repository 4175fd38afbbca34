"""Tiny checkpoints that the peer makes: a BERT of each kind over the vocabulary of the bundled MiniLM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_transformers.demo_data import bundled_model

MakeCheckpoint = Callable[..., Path]


@pytest.fixture(scope="session")
def minilm() -> Path:
    return bundled_model()


@pytest.fixture(scope="session")
def bert_checkpoint(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> MakeCheckpoint:
    """Makes a folder with a random BERT of the peer's class `name` and MiniLM's tokenizer; once for each setting."""
    transformers = pytest.importorskip("transformers")
    import torch

    made: dict[str, Path] = {}

    def make(name: str, *, max_length: int = 512, **config: Any) -> Path:
        key = repr((name, max_length, sorted(config.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(name)
            torch.manual_seed(len(made))
            # Far larger weights than a model starts from, so that no two inputs look alike.
            settings: dict[str, Any] = {
                "vocab_size": 30522,
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 64,
                "initializer_range": 0.4,
                "max_position_embeddings": 512,
            }
            if "id2label" in config:
                settings["label2id"] = {name: label for label, name in config["id2label"].items()}
            model_config = transformers.BertConfig(**{**settings, **config})
            getattr(transformers, name)(model_config).save_pretrained(folder)
            tokenizer = transformers.AutoTokenizer.from_pretrained(minilm, model_max_length=max_length)
            tokenizer.save_pretrained(folder)
            made[key] = folder
        return made[key]

    return make


@pytest.fixture(scope="session")
def peer_pipeline() -> Callable[..., Any]:
    """The peer's `pipeline`, on the CPU."""
    transformers = pytest.importorskip("transformers")

    def make(task: str, folder: Path, **options: Any) -> Any:
        return transformers.pipeline(task, str(folder), device="cpu", **options)

    return make
