"""AFMoE: a norm around each part, gated attention, windows, experts by corrected sigmoids."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.afmoe import AfmoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    always_on,
    corrected_router,
    dense_first,
    expert_rules,
    mixture,
    shared_rules,
)
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    one_rope,
    sandwich,
    sliding_turns,
)
from hf_modeling.spec import DecoderSpec, EmbedScale, OutputGate, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: AfmoeConfig) -> DecoderSpec:
    """The decoder that an AFMoE config describes; full layers have no positions."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    mixer = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        gate=OutputGate(),
    )
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        replace(corrected_router(scale=c.route_scale), precision="input"),
        shared=always_on(c.moe_intermediate_size * c.num_shared_experts, c.hidden_act),
    )
    mixers = sliding_turns(each_mask(mixer, c), c)
    ffns = dense_first(c.num_dense_layers, c.num_hidden_layers, gated_mlp(c), sparse)
    blocks = (sandwich(one, ffn, norm) for one, ffn in zip(mixers, ffns, strict=True))
    scale = EmbedScale(value=math.sqrt(c.hidden_size)) if c.mup_enabled else None
    return decoder(c, blocks, norm, scale=scale)


def weights(c: AfmoeConfig) -> WeightTable:
    """Its own names of the norms around experts and of the router."""
    layer = "model.layers.{layer}."
    names = {
        "pre_mlp_layernorm.weight": "pre_feedforward_layernorm.weight",
        "post_mlp_layernorm.weight": "post_feedforward_layernorm.weight",
        "mlp.router.gate.weight": "mlp.gate.weight",
        "mlp.expert_bias": "mlp.gate.e_score_correction_bias",
    }
    norms = ("input", "post_attention", "pre_feedforward", "post_feedforward")
    return WeightTable(
        rules=(*renames(names, disk=layer, memory=layer), *expert_rules(), *shared_rules()),
        fp32=(
            CORRECTION,
            "model.norm.weight",
            *(f"{layer}{name}_layernorm.weight" for name in norms),
            layer + "self_attn.q_norm.weight",
            layer + "self_attn.k_norm.weight",
        ),
    )


FAMILY = Family(
    model_type="afmoe",
    config=AfmoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("Afmoe"),
)
