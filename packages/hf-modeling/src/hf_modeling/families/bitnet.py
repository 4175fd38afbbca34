"""BitNet: Llama with squared ReLU and a norm before each output projection."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.bitnet import BitNetConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, gated_mlp, layered, one_rope, same_names
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: BitNetConfig) -> DecoderSpec:
    """The decoder that a BitNet config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), c.hidden_size // c.num_attention_heads
    mixer = replace(attention(c, one_rope(c, head_dim), bias=c.attention_bias), output_norm=norm)
    return layered(c, [mixer] * c.num_hidden_layers, replace(gated_mlp(c), inner_norm=norm), norm)


FAMILY = Family(
    model_type="bitnet",
    config=BitNetConfig,
    spec=spec,
    weights=same_names,
    classes=classes("BitNet"),
)
