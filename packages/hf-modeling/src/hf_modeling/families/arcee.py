"""Arcee: Llama with a squared-ReLU network in place of the gated one."""

from __future__ import annotations

from hf_config.families.arcee import ArceeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    attention,
    classes,
    layered,
    mlp,
    one_rope,
    same_names,
)
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: ArceeConfig) -> DecoderSpec:
    """The decoder that an Arcee config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    ffn = mlp(c, bias=c.mlp_bias)
    return layered(c, [mixer] * c.num_hidden_layers, ffn, RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="arcee",
    config=ArceeConfig,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("Arcee", *ALL_HEADS),
)
