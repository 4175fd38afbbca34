"""Apertus: normalised heads and a network whose activation is trained."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.apertus import ApertusConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, layered, one_rope
from hf_modeling.spec import DecoderSpec, Mlp, QkNorm, RmsNorm, XIelu
from hf_modeling.weights.table import WeightTable, renames


def spec(c: ApertusConfig) -> DecoderSpec:
    """The decoder that an Apertus config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), c.hidden_size // c.num_attention_heads
    mixer = attention(c, one_rope(c, head_dim), bias=c.attention_bias)
    act = XIelu() if c.hidden_act == "xielu" else activation(c.hidden_act)
    ffn = Mlp(width=c.intermediate_size, activation=act)
    return layered(c, [replace(mixer, qk_norm=QkNorm(norm=norm))] * c.num_hidden_layers, ffn, norm)


def weights(c: ApertusConfig) -> WeightTable:
    """Norms are named by what they precede."""
    names = {
        "attention_layernorm.weight": "input_layernorm.weight",
        "feedforward_layernorm.weight": "post_attention_layernorm.weight",
    }
    layer = "model.layers.{layer}."
    return WeightTable(rules=renames(names, disk=layer, memory=layer))


FAMILY = Family(
    model_type="apertus",
    config=ApertusConfig,
    spec=spec,
    weights=weights,
    classes=classes("Apertus", "token-classification"),
)
