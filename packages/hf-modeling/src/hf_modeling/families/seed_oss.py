"""Seed-OSS: Llama with biases before and not after attention."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.seed_oss import SeedOssConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    attention,
    classes,
    decoder,
    gated_mlp,
    one_rope,
    pre_norm,
    same_names,
)
from hf_modeling.spec import DecoderSpec, RmsNorm, Sum


def spec(c: SeedOssConfig) -> DecoderSpec:
    """The decoder that a Seed-OSS config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim)
    mixer = replace(mixer, qkv_bias=c.attention_bias, output_bias=c.attention_out_bias)
    norm, join = RmsNorm(eps=c.rms_norm_eps), Sum(dropout=c.residual_dropout)
    block = pre_norm(mixer, gated_mlp(c, bias=c.mlp_bias), norm)
    return decoder(c, [replace(block, mixer_residual=join, ffn_residual=join)] * c.num_hidden_layers, norm)


FAMILY = Family(
    model_type="seed_oss",
    config=SeedOssConfig,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("SeedOss", *ALL_HEADS),
)
