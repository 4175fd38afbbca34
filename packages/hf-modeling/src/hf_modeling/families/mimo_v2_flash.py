"""MiMo-V2-Flash: windowed layers with sinks and twice the keys, values of another size, experts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mimo_v2_flash import MiMoV2FlashConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    by_kind,
    drafting,
    expert_rules,
    grouped_router,
    mixture,
    pre_norms,
)
from hf_modeling.families.parts import attention, classes, decoder, each_kind, gated_mlp
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: MiMoV2FlashConfig) -> DecoderSpec:
    """The decoder that a MiMo-V2-Flash config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(
        attention(c, None, c.head_dim),
        qkv_bias=c.attention_bias,
        value_dim=c.v_head_dim,
        value_multiplier=1.0 if c.attention_value_scale is None else c.attention_value_scale,
    )
    mixers = [
        replace(one, sinks=True, kv_heads=2 * one.kv_heads) if kind == "sliding_attention" else one
        for one, kind in zip(each_kind(mixer, c), c.layer_types, strict=True)
    ]
    sparse = mixture(
        c.n_routed_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        grouped_router(c),
    )
    return decoder(c, pre_norms(mixers, by_kind(c.mlp_layer_types, gated_mlp(c), sparse), norm), norm)


def weights(c: MiMoV2FlashConfig) -> WeightTable:
    """Sinks are called a bias."""
    layer = "model.layers.{layer}.self_attn."
    sinks = rule(layer + "attention_sink_bias", layer + "sinks")
    return WeightTable(rules=(sinks, *expert_rules()), fp32=(CORRECTION,))


FAMILY = Family(
    model_type="mimo_v2_flash",
    config=MiMoV2FlashConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("model.mtp.{rest}"),),
    classes=classes("MiMoV2Flash"),
)
