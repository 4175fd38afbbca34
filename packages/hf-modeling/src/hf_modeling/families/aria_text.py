"""Aria text: Llama with experts in every layer, and some for every token."""

from __future__ import annotations

from hf_config.families.aria_text import AriaTextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import MOE, always_on, mixture, shared_rules
from hf_modeling.families.parts import attention, classes, layered, one_rope
from hf_modeling.spec import ChosenSoftmax, DecoderSpec, RmsNorm, Router
from hf_modeling.weights.ops import Transpose
from hf_modeling.weights.table import WeightTable, rule


def spec(c: AriaTextConfig) -> DecoderSpec:
    """The decoder that an Aria text config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    width = c.intermediate_size * c.moe_num_shared_experts
    sparse = mixture(
        c.moe_num_experts,
        c.moe_topk,
        c.intermediate_size,
        c.hidden_act,
        Router(scores=ChosenSoftmax()),
        shared=always_on(width, c.hidden_act, bias=c.mlp_bias),
    )
    return layered(c, [mixer] * c.num_hidden_layers, sparse, RmsNorm(eps=c.rms_norm_eps))


def weights(c: AriaTextConfig) -> WeightTable:
    """Experts from input to output, all in one tensor."""
    return WeightTable(
        rules=(
            rule(MOE + "router.weight", MOE + "gate.weight"),
            rule(MOE + "experts.fc1.weight", MOE + "experts.gate_up_proj", Transpose()),
            rule(MOE + "experts.fc2.weight", MOE + "experts.down_proj", Transpose()),
            *shared_rules(),
        )
    )


FAMILY = Family(
    model_type="aria_text",
    config=AriaTextConfig,
    spec=spec,
    weights=weights,
    classes=classes("AriaText"),
)
