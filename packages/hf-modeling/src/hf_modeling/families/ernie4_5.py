"""ERNIE 4.5: Llama that rotates neighbouring features in float32."""

from __future__ import annotations

from hf_config.families.ernie4_5 import Ernie4_5Config
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, gated_mlp, layered, same_names
from hf_modeling.spec import Attention, DecoderSpec, RmsNorm


def spec(c: Ernie4_5Config) -> DecoderSpec:
    """The decoder that an ERNIE 4.5 config describes."""
    limit = c.max_position_embeddings
    mixer = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=c.head_dim,
        rope=rope(c.rope_parameters, c.head_dim, limit, layout="interleaved", apply="float32"),
        qkv_bias=c.use_bias,
        output_bias=c.use_bias,
    )
    ffn = gated_mlp(c, bias=c.use_bias)
    return layered(c, [mixer] * c.num_hidden_layers, ffn, RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="ernie4_5",
    config=Ernie4_5Config,
    spec=spec,
    weights=same_names,
    classes=classes("Ernie4_5"),
)
