"""dots.llm1: Qwen3's attention, DeepSeek-V3's experts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.dots1 import Dots1Config
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    always_on,
    dense_first,
    expert_rules,
    grouped_router,
    head_size,
    mixture,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import attention, classes, decoder, each_mask, gated_mlp, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: Dots1Config) -> DecoderSpec:
    """The decoder that a dots.llm1 config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), head_size(c)
    mixer = attention(c, one_rope(c, head_dim), head_dim, bias=c.attention_bias)
    mixers = each_mask(replace(mixer, qk_norm=QkNorm(norm=norm)), c)
    sparse = mixture(
        c.n_routed_experts or 0,
        c.num_experts_per_tok or 0,
        c.moe_intermediate_size,
        c.hidden_act,
        grouped_router(c),
        shared=always_on(c.moe_intermediate_size * (c.n_shared_experts or 0), c.hidden_act),
    )
    ffns = dense_first(c.first_k_dense_replace, c.num_hidden_layers, gated_mlp(c), sparse)
    return decoder(c, pre_norms(mixers, ffns, norm), norm)


def weights(c: Dots1Config) -> WeightTable:
    """One matrix for each expert and projection, the shared experts as one."""
    return WeightTable(rules=(*expert_rules(), *shared_rules()), fp32=(CORRECTION,))


FAMILY = Family(
    model_type="dots1",
    config=Dots1Config,
    spec=spec,
    weights=weights,
    classes=classes("Dots1"),
)
