"""OLMo: norms without weights, bounded projections, rotation in float32."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.olmo import OlmoConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ROTARY, attention, classes, gated_mlp, layered, same_names
from hf_modeling.spec import DecoderSpec, LayerNorm


def spec(c: OlmoConfig) -> DecoderSpec:
    """The decoder that an OLMo config describes."""
    head_dim = c.hidden_size // c.num_attention_heads
    turn = rope(c.rope_parameters, head_dim, c.max_position_embeddings, apply="float32")
    mixer = replace(attention(c, turn, bias=c.attention_bias), clip=c.clip_qkv)
    norm = LayerNorm(eps=1e-5, weight="none", bias=False)
    return layered(c, [mixer] * c.num_hidden_layers, gated_mlp(c), norm)


FAMILY = Family(
    model_type="olmo",
    config=OlmoConfig,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    classes=classes("Olmo", "sequence-classification"),
)
