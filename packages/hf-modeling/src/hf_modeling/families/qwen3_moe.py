"""Qwen3-MoE: Qwen3 with experts in some layers."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.qwen3_moe import Qwen3MoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    by_step,
    expert_rules,
    head_size,
    mixture,
    pre_norms,
    softmax_router,
)
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    attention,
    classes,
    decoder,
    gated_mlp,
    one_rope,
    window,
)
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: Qwen3MoeConfig) -> DecoderSpec:
    """The decoder that a Qwen3-MoE config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), head_size(c)
    mixer = replace(
        attention(c, one_rope(c, head_dim), head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        mask=window(c.sliding_window),
    )
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        softmax_router(renorm=c.norm_topk_prob),
        balance=c.router_aux_loss_coef,
    )
    mixers = [mixer] * c.num_hidden_layers
    return decoder(c, pre_norms(mixers, by_step(c, gated_mlp(c), sparse), norm), norm)


def weights(c: Qwen3MoeConfig) -> WeightTable:
    """One matrix for each expert and projection."""
    return WeightTable(rules=expert_rules())


FAMILY = Family(
    model_type="qwen3_moe",
    config=Qwen3MoeConfig,
    spec=spec,
    weights=weights,
    begins=ANSWERS_BEGIN,
    classes=classes("Qwen3Moe", *ALL_HEADS),
)
