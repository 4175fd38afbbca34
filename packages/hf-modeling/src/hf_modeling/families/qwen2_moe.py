"""Qwen2-MoE: Qwen2 with experts in some layers, and a gated one for every token."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.qwen2_moe import Qwen2MoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import by_step, gated_shared_moe, gated_shared_rules, head_size, pre_norms
from hf_modeling.families.parts import (
    ALL_HEADS,
    ROTARY,
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    one_rope,
)
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: Qwen2MoeConfig) -> DecoderSpec:
    """The decoder that a Qwen2-MoE config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), head_size(c)
    mixer = replace(attention(c, one_rope(c, head_dim), head_dim), qkv_bias=c.qkv_bias)
    sparse = gated_shared_moe(c, renorm=c.norm_topk_prob)
    return decoder(c, pre_norms(each_mask(mixer, c), by_step(c, gated_mlp(c), sparse), norm), norm)


def weights(c: Qwen2MoeConfig) -> WeightTable:
    """The shared expert's gate stands beside it."""
    return WeightTable(rules=gated_shared_rules())


FAMILY = Family(
    model_type="qwen2_moe",
    config=Qwen2MoeConfig,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("Qwen2Moe", *ALL_HEADS),
)
