"""peft trains adapters on packed layers of ours, with its own dispatch, and refuses to merge into them."""

import warnings
from pathlib import Path

import pytest
import torch

from hf_config.quantization import (
    BitNetQuantConfig,
    BitsAndBytesConfig,
    FineGrainedFP8Config,
    FPQuantConfig,
    GgufConfig,
    ModelOptConfig,
    QuantizationConfig,
    SinqConfig,
)
from hf_quant.errors import PackedWeightError
from hf_quant.testing.tiny import load, logits, plain_checkpoint

pytestmark = pytest.mark.parity

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from integration_tests.peer import peer

    peer()
    peft = pytest.importorskip("peft")

CONFIGS: dict[str, QuantizationConfig] = {
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "llm.int8": BitsAndBytesConfig(load_in_8bit=True),
    "fp8": FineGrainedFP8Config(weight_block_size=(32, 32)),
    "nvfp4": ModelOptConfig(quant_algo="NVFP4"),
    "fp-quant": FPQuantConfig(),
    "bitnet": BitNetQuantConfig(),
    "sinq": SinqConfig(group_size=32),
    "gguf": GgufConfig(ggml_type="Q4_0"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_adapters_learn_and_packed_weights_stay(name: str, tmp_path: Path) -> None:
    model = load(plain_checkpoint("llama", tmp_path), quantization_config=CONFIGS[name])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(model, settings)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.05)
    ids = torch.arange(4, 20)[None]
    losses = []
    for _ in range(6):
        loss = adapted(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    with pytest.raises(PackedWeightError, match="dequantize"):
        adapted.merge_adapter()
    after = adapted.unload().state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert bool(torch.isfinite(logits(model)).all())
