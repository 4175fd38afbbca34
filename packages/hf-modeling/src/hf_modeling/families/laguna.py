"""Laguna: another number of heads in each layer, gated attention, capped router logits."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.laguna import LagunaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    MOE,
    always_on,
    by_kind,
    corrected_router,
    expert_rules,
    mixture,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import attention, classes, decoder, each_kind, gated_mlp
from hf_modeling.spec import DecoderSpec, OutputGate, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: LagunaConfig) -> DecoderSpec:
    """The decoder that a Laguna config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    per_head = c.gating is True or c.gating == "per-head"
    mixer = replace(
        attention(c, None, c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        gate=OutputGate(per="head" if per_head else "feature", activation="softplus"),
    )
    mixers = [
        replace(one, heads=heads)
        for one, heads in zip(each_kind(mixer, c), c.num_attention_heads_per_layer, strict=True)
    ]
    router = replace(
        corrected_router(scale=c.moe_routed_scaling_factor, eps=0.0),
        logit_cap=c.moe_router_logit_softcapping or None,
        precision="input",
    )
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        router,
        shared=always_on(c.shared_expert_intermediate_size, c.hidden_act),
        balance=c.router_aux_loss_coef,
    )
    return decoder(c, pre_norms(mixers, by_kind(c.mlp_layer_types, gated_mlp(c), sparse), norm), norm)


def weights(c: LagunaConfig) -> WeightTable:
    """Its own names of the gate of attention and of the correction."""
    layer = "model.layers.{layer}.self_attn."
    return WeightTable(
        rules=(
            rule(layer + "g_proj.weight", layer + "gate_proj.weight"),
            rule(MOE + "experts.e_score_correction_bias", CORRECTION),
            *expert_rules(),
            *shared_rules(MOE + "shared_expert."),
        ),
    )


FAMILY = Family(
    model_type="laguna",
    config=LagunaConfig,
    spec=spec,
    weights=weights,
    classes=classes("Laguna"),
)
