"""GPT-Neo: learned positions, unscaled scores in float32, windows on every other layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gpt_neo import GPTNeoConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    CLASSIFIER,
    classes,
    decoder,
    learned,
    many_heads,
    pre_norm,
    window,
)
from hf_modeling.spec import DecoderSpec, LayerNorm, Mlp, Sum
from hf_modeling.weights.table import WeightTable, drop, renames


def spec(c: GPTNeoConfig) -> DecoderSpec:
    """The decoder that a GPT-Neo config describes."""
    norm, join = LayerNorm(eps=c.layer_norm_epsilon), Sum(dropout=c.resid_dropout)
    mixer = replace(
        many_heads(c, c.attention_dropout, bias=False), output_bias=True, scale=1.0, scores="float32"
    )
    width = c.intermediate_size or 4 * c.hidden_size
    ffn = Mlp(width=width, activation=activation(c.activation_function), bias=True)
    local = replace(mixer, mask=window(c.window_size))
    blocks = (
        replace(
            pre_norm(local if kind == "local" else mixer, ffn, norm), mixer_residual=join, ffn_residual=join
        )
        for kind in c.attention_layers
    )
    return learned(decoder(c, blocks, norm), c.max_position_embeddings, c.embed_dropout)


def weights(c: GPTNeoConfig) -> WeightTable:
    """GPT-2's names, one level deeper for attention, nothing transposed."""
    names = {
        "ln_1.{s}": "input_layernorm.{s}",
        "ln_2.{s}": "post_attention_layernorm.{s}",
        "attn.attention.q_proj.weight": "self_attn.q_proj.weight",
        "attn.attention.k_proj.weight": "self_attn.k_proj.weight",
        "attn.attention.v_proj.weight": "self_attn.v_proj.weight",
        "attn.attention.out_proj.{s}": "self_attn.o_proj.{s}",
        "mlp.c_fc.{s}": "mlp.up_proj.{s}",
        "mlp.c_proj.{s}": "mlp.down_proj.{s}",
    }
    outer = {
        "wte.weight": "embed_tokens.weight",
        "wpe.weight": "stem.positions.weight",
        "ln_f.{s}": "norm.{s}",
    }
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk="transformer.h.{layer}.", memory="model.layers.{layer}."),
        ),
    )


FAMILY = Family(
    model_type="gpt_neo",
    config=GPTNeoConfig,
    spec=spec,
    weights=weights,
    ignored=(
        drop("transformer.h.{layer}.attn.attention.bias", why="the causal mask, not a weight"),
        drop("transformer.h.{layer}.attn.attention.masked_bias", why="not a weight"),
    ),
    begins=CLASSIFIER,
    classes=classes("GPTNeo", *ALL_HEADS),
)
