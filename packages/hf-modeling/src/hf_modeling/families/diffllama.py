"""DiffLlama: Llama whose attention is the difference of two."""

from __future__ import annotations

import math

from hf_config.families.diffllama import DiffLlamaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    ROTARY,
    classes,
    gated_mlp,
    layered,
    one_rope,
    same_names,
)
from hf_modeling.spec import DecoderSpec, DifferentialAttention, RmsNorm


def spec(c: DiffLlamaConfig) -> DecoderSpec:
    """The decoder that a DiffLlama config describes; later layers start with a larger second attention."""
    mixers = (
        DifferentialAttention(
            heads=c.num_attention_heads,
            kv_heads=c.num_key_value_heads,
            head_dim=c.head_dim,
            rope=one_rope(c, c.head_dim),
            norm=RmsNorm(eps=c.rms_norm_eps, weight="none"),
            start=0.8 - 0.6 * math.exp(-0.3 * layer),
            bias=c.attention_bias,
            dropout=c.attention_dropout,
        )
        for layer in range(c.num_hidden_layers)
    )
    return layered(c, mixers, gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="diffllama",
    config=DiffLlamaConfig,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    begins=ANSWERS_BEGIN,
    classes=classes("DiffLlama", *ALL_HEADS),
)
