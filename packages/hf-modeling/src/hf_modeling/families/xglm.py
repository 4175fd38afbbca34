"""XGLM: fixed sines and cosines for positions, scaled embeddings."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.xglm import XGLMConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import FAIRSEQ_LAYER, classes, decoder, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, EmbedScale, LayerNorm, Mlp, SinusoidPositions, Sum
from hf_modeling.weights.table import WeightTable, drop, renames, rule


def spec(c: XGLMConfig) -> DecoderSpec:
    """The decoder that an XGLM config describes."""
    norm, join = LayerNorm(eps=1e-5), Sum(dropout=c.dropout)
    ffn = Mlp(width=c.ffn_dim, activation=activation(c.activation_function), bias=True)
    block = pre_norm(many_heads(c, c.attention_dropout, bias=True), ffn, norm)
    block = replace(block, mixer_residual=join, ffn_residual=join)
    scale = EmbedScale(value=math.sqrt(c.d_model)) if c.scale_embedding else None
    whole = decoder(c, [block] * c.num_hidden_layers, norm, scale=scale)
    positions = SinusoidPositions(range="closed", offset=2)
    return replace(whole, embed=replace(whole.embed, positions=positions, dropout=c.dropout))


def weights(c: XGLMConfig) -> WeightTable:
    """The names of fairseq's decoders."""
    layer = "model.layers.{layer}."
    return WeightTable(
        rules=(
            rule("model.layer_norm.{s}", "model.norm.{s}"),
            *renames(FAIRSEQ_LAYER, disk=layer, memory=layer),
        )
    )


FAMILY = Family(
    model_type="xglm",
    config=XGLMConfig,
    spec=spec,
    weights=weights,
    ignored=(drop("model.embed_positions.weights", why="recomputed from the config"),),
    classes=classes("XGLM"),
)
