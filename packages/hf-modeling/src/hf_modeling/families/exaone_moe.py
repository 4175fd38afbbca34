"""EXAONE MoE: EXAONE 4's attention before norms, DeepSeek-V3's experts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.exaone_moe import ExaoneMoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    MOE,
    always_on,
    by_kind,
    drafting,
    expert_rules,
    grouped_router,
    head_size,
    mixture,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    one_rope,
    sliding_turns,
)
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: ExaoneMoeConfig) -> DecoderSpec:
    """The decoder that an EXAONE MoE config describes; full layers have no positions."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), head_size(c)
    mixer = replace(attention(c, one_rope(c, head_dim), head_dim), qk_norm=QkNorm(norm=norm))
    mixers = sliding_turns(each_mask(mixer, c), c)
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        grouped_router(c),
        shared=always_on(c.moe_intermediate_size * c.num_shared_experts, c.hidden_act),
    )
    return decoder(c, pre_norms(mixers, by_kind(c.mlp_layer_types, gated_mlp(c), sparse), norm), norm)


def weights(c: ExaoneMoeConfig) -> WeightTable:
    """The correction stands beside the router."""
    correction = rule(MOE + "e_score_correction_bias", CORRECTION)
    return WeightTable(rules=(correction, *expert_rules(), *shared_rules()), fp32=(CORRECTION,))


FAMILY = Family(
    model_type="exaone_moe",
    config=ExaoneMoeConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("mtp.{rest}"),),
    classes=classes("ExaoneMoe"),
)
