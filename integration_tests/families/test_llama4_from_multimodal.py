"""Llama 4's text model from a checkpoint that also holds an image encoder, as it is published."""

from pathlib import Path

import pytest
import torch

from hf_modeling import AutoModelForCausalLM
from hf_modeling.heads.causal_lm import CausalLM
from integration_tests.families.mixture_rows import MIXTURES
from integration_tests.families.oracle import LENGTH, fill, random_ids, relative_error

pytestmark = pytest.mark.parity
VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 28,
    "patch_size": 14,
    "vision_output_dim": 16,
    "projector_input_dim": 16,
    "projector_output_dim": 16,
}


def test_text_says_what_the_whole_model_says(tmp_path: Path) -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    arguments = next(row.arguments for row in MIXTURES if row.name == "llama4_text")
    config = transformers.Llama4Config(text_config=dict(arguments), vision_config=VISION)
    peer = transformers.Llama4ForConditionalGeneration(config).eval()
    fill(peer)
    peer.save_pretrained(tmp_path / "peer")

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "peer")
    assert isinstance(model, CausalLM)
    assert model.load_report is not None
    reasons = set(model.load_report.ignored.values())
    assert reasons == {"reads images; this is the text model"}
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        assert relative_error(model(ids).logits, peer(input_ids=ids).logits) < 1e-5

    model.save_pretrained(tmp_path / "ours")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "ours").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())
