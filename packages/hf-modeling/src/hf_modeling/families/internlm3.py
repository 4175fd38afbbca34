"""InternLM3: Llama whose projections may have biases."""

from __future__ import annotations

from hf_config.families.internlm3 import InternLM3Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ROTARY,
    attention,
    classes,
    gated_mlp,
    layered,
    one_rope,
    same_names,
)
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: InternLM3Config) -> DecoderSpec:
    """The decoder that an InternLM3 config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    ffn = gated_mlp(c, bias=c.mlp_bias)
    return layered(c, [mixer] * c.num_hidden_layers, ffn, RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="internlm3",
    config=InternLM3Config,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    classes=classes("InternLM3"),
)
