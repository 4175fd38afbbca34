"""Solar Open: Llama with DeepSeek-V3's experts in every layer."""

from __future__ import annotations

from hf_config.families.solar_open import SolarOpenConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import CORRECTION, corrected_moe, expert_rules, shared_rules
from hf_modeling.families.parts import attention, classes, layered, one_rope
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: SolarOpenConfig) -> DecoderSpec:
    """The decoder that a Solar Open config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    return layered(c, [mixer] * c.num_hidden_layers, corrected_moe(c, c.n_routed_experts), norm)


def weights(c: SolarOpenConfig) -> WeightTable:
    """One matrix for each expert and projection, the shared experts as one."""
    return WeightTable(rules=(*expert_rules(), *shared_rules()), fp32=(CORRECTION,))


FAMILY = Family(
    model_type="solar_open",
    config=SolarOpenConfig,
    spec=spec,
    weights=weights,
    classes=classes("SolarOpen"),
)
