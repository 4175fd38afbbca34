"""Nemotron: layer norms stored as distances from one, and a squared-ReLU network."""

from __future__ import annotations

from hf_config.families.nemotron import NemotronConfig
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
from hf_modeling.spec import DecoderSpec, LayerNorm


def spec(c: NemotronConfig) -> DecoderSpec:
    """The decoder that a Nemotron config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    norm = LayerNorm(eps=c.norm_eps, weight="plus_one")
    return layered(c, [mixer] * c.num_hidden_layers, mlp(c, bias=c.mlp_bias), norm)


FAMILY = Family(
    model_type="nemotron",
    config=NemotronConfig,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("Nemotron", *ALL_HEADS),
)
