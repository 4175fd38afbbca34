"""Qwen3: Llama with normalised heads, and a window on late layers."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.qwen3 import Qwen3Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    attention,
    classes,
    each_mask,
    gated_mlp,
    layered,
    one_rope,
    same_names,
)
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm


def spec(c: Qwen3Config) -> DecoderSpec:
    """The decoder that a Qwen3 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    return layered(c, each_mask(replace(mixer, qk_norm=QkNorm(norm=norm)), c), gated_mlp(c), norm)


FAMILY = Family(
    model_type="qwen3",
    config=Qwen3Config,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("Qwen3", *ALL_HEADS),
)
