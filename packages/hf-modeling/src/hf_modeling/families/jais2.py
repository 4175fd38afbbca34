"""Jais 2: layer norms, biases, and a squared-ReLU network."""

from __future__ import annotations

from hf_config.families.jais2 import Jais2Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, layered, mlp, one_rope, same_names
from hf_modeling.spec import DecoderSpec, LayerNorm


def spec(c: Jais2Config) -> DecoderSpec:
    """The decoder that a Jais 2 config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    ffn = mlp(c, bias=c.mlp_bias)
    return layered(c, [mixer] * c.num_hidden_layers, ffn, LayerNorm(eps=c.layer_norm_eps))


FAMILY = Family(
    model_type="jais2",
    config=Jais2Config,
    spec=spec,
    weights=same_names,
    classes=classes("Jais2"),
)
