"""Ministral 3: Mistral with YaRN, and queries that grow with their position."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.ministral3 import Ministral3Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    attention,
    classes,
    gated_mlp,
    layered,
    one_rope,
    same_names,
    window,
)
from hf_modeling.spec import DecoderSpec, FloorLogScale, RmsNorm


def spec(c: Ministral3Config) -> DecoderSpec:
    """The decoder that a Ministral 3 config describes."""
    settings = c.rope_parameters
    period = settings.original_max_position_embeddings or c.max_position_embeddings
    growth = FloorLogScale(beta=settings.llama_4_scaling_beta or 0.0, period=period)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim)
    mixer = replace(mixer, mask=window(c.sliding_window), position_scale=growth)
    return layered(c, [mixer] * c.num_hidden_layers, gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="ministral3",
    config=Ministral3Config,
    spec=spec,
    weights=same_names,
    classes=classes("Ministral3", *ALL_HEADS),
)
