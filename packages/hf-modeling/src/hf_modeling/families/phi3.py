"""Phi-3 and Phi-4 mini: Llama with fused projections and rotation for long contexts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.phi3 import Phi3Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ROTARY,
    attention,
    classes,
    decoder,
    fused_gate_up,
    fused_qkv,
    gated_mlp,
    one_rope,
    pre_norm,
    window,
)
from hf_modeling.spec import DecoderSpec, RmsNorm, Sum
from hf_modeling.weights.table import WeightTable


def spec(c: Phi3Config) -> DecoderSpec:
    """The decoder that a Phi-3 config describes."""
    norm, join = RmsNorm(eps=c.rms_norm_eps), Sum(dropout=c.resid_pdrop)
    head_dim = c.hidden_size // c.num_attention_heads
    mixer = replace(attention(c, one_rope(c, head_dim)), mask=window(c.sliding_window))
    block = replace(pre_norm(mixer, gated_mlp(c), norm), mixer_residual=join, ffn_residual=join)
    whole = decoder(c, [block] * c.num_hidden_layers, norm)
    return replace(whole, embed=replace(whole.embed, dropout=c.embd_pdrop))


def weights(c: Phi3Config) -> WeightTable:
    """Queries, keys and values are one matrix on disk, gate and up projections another."""
    head_dim = c.hidden_size // c.num_attention_heads
    return WeightTable(
        rules=(
            fused_qkv("qkv_proj", c.num_attention_heads * head_dim, c.num_key_value_heads * head_dim),
            fused_gate_up(c.intermediate_size),
        )
    )


FAMILY = Family(
    model_type="phi3",
    config=Phi3Config,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("Phi3", "sequence-classification", "token-classification"),
)
