"""One tiny Llama in both libraries, with weights large enough that texts are not monotonous."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hf_modeling import AutoModelForCausalLM
from hf_modeling.heads.causal_lm import CausalLM

PeerModel = Any  # the other library has no types for these


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=3,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny-llama")
    transformers.LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def ours(checkpoint: Path) -> CausalLM:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert isinstance(model, CausalLM)
    return model


@pytest.fixture(scope="session")
def theirs(checkpoint: Path) -> PeerModel:
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaForCausalLM.from_pretrained(checkpoint, attn_implementation="eager").eval()
