"""xLSTM with fused projections, which the peer cannot build: the same model, stored otherwise."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from hf_config.families.xlstm import xLSTMConfig
from hf_modeling import AutoModelForCausalLM
from integration_tests.families.oracle import LENGTH, fill, random_ids
from integration_tests.families.tiny_configs import ROWS


def test_fused_projections_are_the_same_model(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "xlstm")
    config = xLSTMConfig.from_dict(row.arguments)
    single = AutoModelForCausalLM.from_config(config).eval()
    fused = AutoModelForCausalLM.from_config(xLSTMConfig.from_dict({**row.arguments, "weight_mode": "fused"}))
    fill(single)
    fused.load_state_dict(single.state_dict())
    fused.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert not [
        name for name in stored if name.endswith((".q.weight", ".igate_preact.bias", "proj_up.weight"))
    ]
    gates = stored["backbone.blocks.0.mlstm_layer.ifgate_preact.bias"]
    assert torch.equal(
        gates[: config.num_heads], single.state_dict()["model.layers.0.self_attn.igate_preact.bias"]
    )
    loaded, ids = AutoModelForCausalLM.from_pretrained(tmp_path).eval(), random_ids(2, LENGTH)
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, single(ids).logits)
