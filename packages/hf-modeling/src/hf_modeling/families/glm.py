"""GLM: Llama that rotates neighbouring features of half a head, with a fused gate."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.glm import GlmConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, fused_gate_up, gated_mlp, layered
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: GlmConfig) -> DecoderSpec:
    """The decoder that a GLM config describes."""
    turn = rope(c.rope_parameters, c.head_dim, c.max_position_embeddings, layout="interleaved")
    mixer = replace(attention(c, turn, c.head_dim), qkv_bias=c.attention_bias)
    return layered(c, [mixer] * c.num_hidden_layers, gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


def weights(c: GlmConfig) -> WeightTable:
    """Gate and up projections are one matrix on disk."""
    return WeightTable(rules=(fused_gate_up(c.intermediate_size),))


FAMILY = Family(
    model_type="glm",
    config=GlmConfig,
    spec=spec,
    weights=weights,
    classes=classes("Glm", "sequence-classification", "token-classification"),
)
