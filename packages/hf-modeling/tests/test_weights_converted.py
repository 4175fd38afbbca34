"""Checkpoints handled without a model: some tensors by pattern, `.bin` files rewritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hf_config import LlamaConfig
from hf_hub_io.errors import AdapterError
from hf_modeling import AutoModelForCausalLM, LlamaForCausalLM, convert_to_safetensors
from hf_modeling.testing.toy import ToyConfig, ToyForCausalLM, assert_same, read_tensors, write_tensors
from hf_modeling.weights.convert import read_tensors as pick


def test_pickles_become_safetensors_with_the_same_names_and_bits(tmp_path: Path) -> None:
    ToyForCausalLM(ToyConfig()).save_pretrained(tmp_path / "toy")
    expected = read_tensors(tmp_path / "toy")
    expected["transposed"] = torch.randn(3, 5).mT
    (tmp_path / "old").mkdir()
    torch.save(
        {**expected, "half": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "old" / "pytorch_model.bin"
    )
    plan = convert_to_safetensors(tmp_path / "old", tmp_path / "new", max_shard_size=1000)
    assert plan.is_sharded
    found = dict(pick(tmp_path / "new"))
    assert found.pop("half").dtype == torch.bfloat16
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_only_what_a_pattern_names_is_read(tmp_path: Path) -> None:
    ToyForCausalLM(ToyConfig()).save_pretrained(tmp_path)
    names = [name for name, _ in pick(tmp_path, "*.wte.*", "lm_head.*")]
    assert names == ["lm_head.weight", "transformer.wte.weight"]


def test_a_folder_with_only_an_adapter_loads_the_model_it_names(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    a, b = torch.randn(2, 8), torch.randn(32, 2)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    name = "base_model.model.lm_head.lora_"
    write_tensors(adapter, {name + "A.weight": a, name + "B.weight": b}, "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(AdapterError, match="does not say which model it belongs to"):
        AutoModelForCausalLM.from_pretrained(adapter)
    settings["base_model_name_or_path"] = str(tmp_path / "base")
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    merged, base = (AutoModelForCausalLM.from_pretrained(p) for p in (adapter, tmp_path / "base"))
    assert torch.allclose(merged.lm_head.weight, base.lm_head.weight + b @ a)
    assert_same(merged.model, base.model)
