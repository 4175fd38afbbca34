"""HunYuan V3: Qwen3's attention, experts by corrected sigmoids."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.hy_v3 import HYV3Config
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    MOE,
    always_on,
    by_kind,
    corrected_router,
    expert_rules,
    further_layers,
    mixture,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: HYV3Config) -> DecoderSpec:
    """The decoder that a HunYuan V3 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm))
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        corrected_router(scale=c.router_scaling_factor),
        shared=always_on(c.moe_intermediate_size * c.num_shared_experts, c.hidden_act, bias=c.mlp_bias),
    )
    ffns = by_kind(c.mlp_layer_types, gated_mlp(c, bias=c.mlp_bias), sparse)
    return decoder(c, pre_norms([mixer] * c.num_hidden_layers, ffns, norm), norm)


def weights(c: HYV3Config) -> WeightTable:
    """Its own names of the router and of the shared expert."""
    return WeightTable(
        rules=(
            further_layers(c.num_hidden_layers, 1),
            rule(MOE + "router.gate.weight", MOE + "gate.weight"),
            rule(MOE + "expert_bias", CORRECTION),
            *expert_rules(),
            *shared_rules(MOE + "shared_mlp."),
        ),
        fp32=(CORRECTION,),
    )


FAMILY = Family(
    model_type="hy_v3",
    config=HYV3Config,
    spec=spec,
    weights=weights,
    classes=classes("HYV3"),
)
