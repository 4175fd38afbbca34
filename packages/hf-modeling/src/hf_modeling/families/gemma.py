"""Gemma: Llama with norm weights stored as distances from one, and scaled embeddings."""

from __future__ import annotations

import math

from hf_config.families.gemma import GemmaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ROTARY,
    attention,
    classes,
    decoder,
    gated_mlp,
    one_rope,
    pre_norm,
    same_names,
)
from hf_modeling.spec import DecoderSpec, EmbedScale, RmsNorm


def spec(c: GemmaConfig) -> DecoderSpec:
    """The decoder that a Gemma config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    blocks = [pre_norm(mixer, gated_mlp(c), norm)] * c.num_hidden_layers
    return decoder(c, blocks, norm, scale=EmbedScale(value=math.sqrt(c.hidden_size), cast="weight"))


FAMILY = Family(
    model_type="gemma",
    config=GemmaConfig,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    classes=classes("Gemma", "sequence-classification", "token-classification"),
)
