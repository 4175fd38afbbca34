"""Mistral: Llama whose layers may all attend within a window."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mistral import MistralConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ROTARY,
    attention,
    classes,
    gated_mlp,
    layered,
    one_rope,
    same_names,
    window,
)
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: MistralConfig) -> DecoderSpec:
    """The decoder that a Mistral config describes."""
    mixer = replace(attention(c, one_rope(c, c.head_dim), c.head_dim), mask=window(c.sliding_window))
    return layered(c, [mixer] * c.num_hidden_layers, gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="mistral",
    config=MistralConfig,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    classes=classes("Mistral", *ALL_HEADS),
)
