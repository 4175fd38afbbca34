"""Helium: Llama that rotates neighbouring features."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.helium import HeliumConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, gated_mlp, layered, same_names
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: HeliumConfig) -> DecoderSpec:
    """The decoder that a Helium config describes."""
    turn = rope(c.rope_parameters, c.head_dim, c.max_position_embeddings, layout="interleaved")
    mixer = replace(attention(c, turn, c.head_dim), qkv_bias=c.attention_bias)
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    return layered(c, [mixer] * c.num_hidden_layers, gated_mlp(c, bias=c.mlp_bias), norm)


FAMILY = Family(
    model_type="helium",
    config=HeliumConfig,
    spec=spec,
    weights=same_names,
    classes=classes("Helium", "sequence-classification", "token-classification"),
)
