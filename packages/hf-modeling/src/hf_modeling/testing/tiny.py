"""Small Llamas with random weights, for tests of code that runs models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hf_config import AutoConfig
from hf_modeling.classes import find_class
from hf_modeling.heads.causal_lm import CausalLM

VOCABULARY = 64
PAD, BOS, EOS = 0, 1, 2
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "initializer_range": 0.4,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}


def llama(seed: int = 0, **changes: Any) -> CausalLM:
    """A Llama with weights large enough that its texts vary."""
    torch.manual_seed(seed)
    model = find_class("LlamaForCausalLM")(AutoConfig.for_model("llama", **{**SIZES, **changes})).eval()
    assert isinstance(model, CausalLM)
    return model


def prompts(batch: int, length: int, seed: int = 0) -> Tensor:
    """Random ids without special tokens."""
    return torch.randint(4, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))
