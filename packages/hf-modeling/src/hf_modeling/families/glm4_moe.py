"""GLM-4.5: grouped-query attention that turns half of each head, DeepSeek-V3's experts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.glm4_moe import Glm4MoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    corrected_moe,
    dense_first,
    expert_rules,
    further_layers,
    head_size,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: Glm4MoeConfig) -> DecoderSpec:
    """The decoder that a GLM-4.5 config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), head_size(c)
    mixer = replace(
        attention(c, one_rope(c, head_dim), head_dim),
        qkv_bias=c.attention_bias,
        qk_norm=QkNorm(norm=norm) if c.use_qk_norm else None,
    )
    sparse = corrected_moe(c, c.n_routed_experts)
    ffns = dense_first(c.first_k_dense_replace, c.num_hidden_layers, gated_mlp(c), sparse)
    return decoder(c, pre_norms([mixer] * c.num_hidden_layers, ffns, norm), norm)


def weights(c: Glm4MoeConfig) -> WeightTable:
    """One matrix for each expert and projection, the shared experts as one."""
    further = further_layers(c.num_hidden_layers, c.num_nextn_predict_layers)
    return WeightTable(rules=(further, *expert_rules(), *shared_rules()), fp32=(CORRECTION,))


FAMILY = Family(
    model_type="glm4_moe",
    config=Glm4MoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("Glm4Moe"),
)
