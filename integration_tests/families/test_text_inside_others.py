"""Text models are read out of checkpoints of models that also see or hear, as the peer wrote them."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from hf_modeling import AutoModelForCausalLM
from integration_tests.families.oracle import LENGTH, fill, random_ids, relative_error
from integration_tests.families.tiny_configs import ROWS

pytestmark = [pytest.mark.parity, pytest.mark.slow]

QWEN_EYES: Mapping[str, object] = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_heads": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}
DOTS_EYES: Mapping[str, object] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "moe_intermediate_size": 8,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "adapter_in_dim": 16,
    "adapter_out_dim": 32,
    "mlp_layer_types": ["dense"],
}
DOTS_EARS: Mapping[str, object] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "feature_size": 16,
    "downsample_hidden_size": 8,
    "adapter_input_size": 16,
    "adapter_out_dim": 32,
}
WRAPPED: Mapping[str, tuple[str, Mapping[str, Mapping[str, object]]]] = {
    "qwen3_5": ("Qwen3_5ForConditionalGeneration", {"vision_config": QWEN_EYES}),
    "qwen3_5_moe": ("Qwen3_5MoeForConditionalGeneration", {"vision_config": QWEN_EYES}),
    "dots3_note": (
        "Dots3NoteForConditionalGeneration",
        {"vision_config": DOTS_EYES, "audio_config": DOTS_EARS},
    ),
}


@pytest.mark.parametrize("model_type", WRAPPED)
def test_text_inside_gives_the_peers_logits(model_type: str, tmp_path: Path) -> None:
    import transformers

    class_name, others = WRAPPED[model_type]
    text = next(row for row in ROWS if row.model_type == f"{model_type}_text").arguments
    config = transformers.AutoConfig.for_model(model_type, text_config=dict(text), **others)
    peer = getattr(transformers, class_name)(config).eval()
    peer.set_attn_implementation("eager")
    fill(peer)
    peer.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        assert relative_error(model(ids).logits, peer(input_ids=ids).logits) < 1e-5
    assert model.load_report is not None
    assert model.load_report.ignored, "what reads images is left out, and said to be"
