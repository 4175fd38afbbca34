"""Models over several accelerators, on tensors that have a device and a shape but no numbers.

Torch's fake tensors refuse to mix devices just as an accelerator does, so what runs here runs there.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hf_modeling.auto import AutoModelForCausalLM
from hf_modeling.device_map import DeviceMap, plan_devices, spread
from hf_modeling.model import PreTrainedModel
from hf_modeling.testing.tiny import SIZES

FIRST, SECOND, THIRD = (torch.device("cuda", index) for index in range(3))
MAP: dict[str, torch.device | str | int] = {
    "model.embed_tokens": FIRST,
    "model.layers.0": FIRST,
    "model.layers.1": SECOND,
    "model.norm": THIRD,
    "lm_head": THIRD,
}


def build(model_type: str, sizes: dict[str, object]) -> tuple[PreTrainedModel, DeviceMap]:
    """A model with fake weights where MAP wants them; used under a fake mode."""
    from hf_config import AutoConfig

    config = AutoConfig.for_model(model_type, **{**SIZES, "num_hidden_layers": 2, **sizes})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config).eval()
    devices = plan_devices(model, MAP, dtype=torch.float32, max_memory=None)
    for path, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                there = torch.empty(parameter.shape, device=devices.runs(path))
                module._parameters[name] = nn.Parameter(there)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(
                    buffer.shape, dtype=buffer.dtype, device=devices.runs(path)
                )
    return model, devices


@pytest.mark.parametrize(
    ("model_type", "sizes"),
    [
        ("llama", {}),
        ("mistral", {"sliding_window": 3}),
        ("gemma2", {"head_dim": 8}),
        ("qwen3", {"tie_word_embeddings": True}),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_calls_travel_and_answers_return(model_type: str, sizes: dict[str, object], masked: bool) -> None:
    with FakeTensorMode():
        model, devices = build(model_type, sizes)
        ids = torch.ones(2, 5, dtype=torch.long, device=FIRST)
        mask = torch.zeros(2, 1, 5, 5, device=FIRST) if masked else None
        with pytest.raises(RuntimeError, match="cuda:"):
            model(ids)
        spread(model, devices)
        output = model(ids, attention_mask=mask, use_cache=False, output_hidden_states=True)
        assert output.logits.device == FIRST
        assert [h.device for h in output.hidden_states] == [FIRST, FIRST, THIRD]
        cached = model(ids, attention_mask=mask, use_cache=True)
        again = model(ids[:, :1], past_key_values=cached.past_key_values)
        assert again.logits.device == FIRST
