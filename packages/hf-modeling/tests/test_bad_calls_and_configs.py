"""Calls, configs and checkpoints that contradict themselves: typed errors that say what and how to correct it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_config import AutoConfig
from hf_modeling.auto import AutoModelForCausalLM
from hf_modeling.errors import InputError, SpecError
from hf_modeling.testing.tiny import SIZES, llama, prompts
from hf_modeling.weights.errors import MissingWeightsError, ShapeMismatchError, UnexpectedWeightsError

IDS = prompts(2, 5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"input_ids": IDS.float()}, r"input_ids has elements of torch\.float32"),
        ({"input_ids": IDS[0]}, r"expected token ids as rows .* have shape \(5, 32\)"),
        ({"input_ids": IDS[:, :0]}, "at least one token"),
        (
            {"input_ids": IDS, "position_ids": torch.arange(5.0)},
            r"position_ids has elements of torch\.float32",
        ),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 1, 5, 5).long()}, r"elements of torch\.int64"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 1, 4, 5)}, r"\(2, 1, 4, 5\) for 2 rows of 5"),
        ({"input_ids": IDS, "attention_mask": torch.ones(3, 1, 5, 5)}, r"\(3, 1, 5, 5\) for 2 rows of 5"),
    ],
)
def test_tensors_of_the_wrong_kind_or_shape(given: dict[str, Tensor], says: str) -> None:
    with pytest.raises(InputError, match=says):
        llama()(**given)


@pytest.mark.parametrize("sizes", [{"hidden_size": 30}, {"head_dim": 7}])
def test_heads_that_cannot_turn(sizes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="7 features of each head cannot turn in pairs"):
        llama(**sizes)


@torch.no_grad()
def test_a_window_beyond_the_context_hides_nothing() -> None:
    logits = []
    for window in (4096, None):
        torch.manual_seed(0)
        config = AutoConfig.for_model("mistral", **SIZES, sliding_window=window)
        logits.append(AutoModelForCausalLM.from_config(config).eval()(IDS).logits)
    torch.testing.assert_close(*logits)


@pytest.mark.parametrize("experts", [3, 5])
def test_experts_that_the_checkpoint_does_not_have(experts: int, tmp_path: Path) -> None:
    config = AutoConfig.for_model("mixtral", **SIZES, num_local_experts=4, num_experts_per_tok=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "num_local_experts": experts}))
    with pytest.raises(
        (ShapeMismatchError, MissingWeightsError, UnexpectedWeightsError), match=r"expert|gate"
    ):
        AutoModelForCausalLM.from_pretrained(tmp_path)
