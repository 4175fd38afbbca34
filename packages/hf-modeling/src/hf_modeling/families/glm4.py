"""GLM-4: GLM with a norm after each part as well."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.glm4 import Glm4Config
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, fused_gate_up, gated_mlp, sandwich
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: Glm4Config) -> DecoderSpec:
    """The decoder that a GLM-4 config describes."""
    turn = rope(c.rope_parameters, c.head_dim, c.max_position_embeddings, layout="interleaved")
    mixer = replace(attention(c, turn, c.head_dim), qkv_bias=c.attention_bias)
    norm = RmsNorm(eps=c.rms_norm_eps)
    return decoder(c, [sandwich(mixer, gated_mlp(c), norm)] * c.num_hidden_layers, norm)


def weights(c: Glm4Config) -> WeightTable:
    """Gate and up projections are one matrix on disk; norms are named by what they follow."""
    names = {
        "post_self_attn_layernorm.weight": "post_attention_layernorm.weight",
        "post_attention_layernorm.weight": "pre_feedforward_layernorm.weight",
        "post_mlp_layernorm.weight": "post_feedforward_layernorm.weight",
    }
    layer = "model.layers.{layer}."
    return WeightTable(rules=(fused_gate_up(c.intermediate_size), *renames(names, disk=layer, memory=layer)))


FAMILY = Family(
    model_type="glm4",
    config=Glm4Config,
    spec=spec,
    weights=weights,
    classes=classes("Glm4", "sequence-classification", "token-classification"),
)
