"""Qwen3.5-MoE's text model: Qwen3.5 with experts in every layer."""

from __future__ import annotations

from hf_config.families.qwen3_5_moe_text import Qwen3_5MoeTextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import MULTIMODAL_PARTS, gated_delta_decoder, gated_delta_rules
from hf_modeling.families.moe_parts import gated_shared_moe, gated_shared_rules
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: Qwen3_5MoeTextConfig) -> DecoderSpec:
    """The decoder that a Qwen3.5-MoE text config describes."""
    return gated_delta_decoder(c, [gated_shared_moe(c, renorm=True)] * c.num_hidden_layers)


def weights(c: Qwen3_5MoeTextConfig) -> WeightTable:
    """One tensor for each expert and projection, and queries with their gates apart."""
    return WeightTable(rules=(*gated_delta_rules(c), *gated_shared_rules()))


FAMILY = Family(
    model_type="qwen3_5_moe_text",
    config=Qwen3_5MoeTextConfig,
    spec=spec,
    weights=weights,
    ignored=MULTIMODAL_PARTS,
    classes={"base": "Qwen3_5MoeTextModel", "causal-lm": "Qwen3_5MoeForCausalLM"},
)
