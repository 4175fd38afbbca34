"""Qwen2: Llama with query, key and value biases, and a window on late layers."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.qwen2 import Qwen2Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    ROTARY,
    attention,
    classes,
    each_mask,
    gated_mlp,
    layered,
    one_rope,
    same_names,
)
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: Qwen2Config) -> DecoderSpec:
    """The decoder that a Qwen2 config describes."""
    head_dim = c.hidden_size // c.num_attention_heads
    mixer = replace(attention(c, one_rope(c, head_dim)), qkv_bias=True)
    return layered(c, each_mask(mixer, c), gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="qwen2",
    config=Qwen2Config,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    begins=ANSWERS_BEGIN,
    classes=classes("Qwen2", *ALL_HEADS),
)
