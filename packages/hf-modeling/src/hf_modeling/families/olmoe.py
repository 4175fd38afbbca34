"""OLMoE: experts in every layer, queries and keys normalised over all heads, then clipped."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.olmoe import OlmoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import expert_rules, mixture, softmax_router
from hf_modeling.families.parts import attention, classes, layered, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: OlmoeConfig) -> DecoderSpec:
    """The decoder that an OLMoE config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(
        attention(c, one_rope(c, c.hidden_size // c.num_attention_heads), bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm, over="width"),
        clip=c.clip_qkv,
    )
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.intermediate_size,
        c.hidden_act,
        softmax_router(renorm=c.norm_topk_prob),
        balance=c.router_aux_loss_coef,
    )
    return layered(c, [mixer] * c.num_hidden_layers, sparse, norm)


def weights(c: OlmoeConfig) -> WeightTable:
    """One matrix for each expert and projection."""
    return WeightTable(rules=expert_rules())


FAMILY = Family(
    model_type="olmoe",
    config=OlmoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("Olmoe"),
)
