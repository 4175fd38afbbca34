"""Qwen3.5-MoE: the text model, from checkpoints that also hold what reads images."""

from __future__ import annotations

from hf_config.families.qwen3_5_moe import Qwen3_5MoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import MULTIMODAL_PARTS
from hf_modeling.families.wrapped import inner_weights, text_spec

FAMILY = Family(
    model_type="qwen3_5_moe",
    config=Qwen3_5MoeConfig,
    spec=text_spec,
    weights=inner_weights,
    ignored=MULTIMODAL_PARTS,
    classes={"causal-lm": "Qwen3_5MoeForCausalLM"},
)
