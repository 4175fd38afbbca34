"""BioGPT: learned positions and scaled embeddings."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.biogpt import BioGptConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    CLASSIFIER,
    FAIRSEQ_LAYER,
    classes,
    decoder,
    learned,
    many_heads,
    mlp,
    pre_norm,
)
from hf_modeling.spec import DecoderSpec, EmbedScale, LayerNorm, Sum
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: BioGptConfig) -> DecoderSpec:
    """The decoder that a BioGPT config describes; its layer_norm_eps is not the one that is used."""
    norm, join = LayerNorm(eps=1e-5), Sum(dropout=c.hidden_dropout_prob)
    block = pre_norm(many_heads(c, c.attention_probs_dropout_prob, bias=True), mlp(c, bias=True), norm)
    block = replace(block, mixer_residual=join, ffn_residual=join)
    scale = EmbedScale(value=math.sqrt(c.hidden_size)) if c.scale_embedding else None
    whole = decoder(c, [block] * c.num_hidden_layers, norm, scale=scale)
    return learned(whole, c.max_position_embeddings, c.hidden_dropout_prob, offset=2)


def weights(c: BioGptConfig) -> WeightTable:
    """The names of fairseq's decoders, under BioGPT's prefix."""
    outer = {
        "embed_tokens.weight": "embed_tokens.weight",
        "embed_positions.weight": "stem.positions.weight",
        "layer_norm.{s}": "norm.{s}",
    }
    return WeightTable(
        prefix="biogpt.",
        rules=(
            *renames(outer, disk="biogpt.", memory="model."),
            *renames(FAIRSEQ_LAYER, disk="biogpt.layers.{layer}.", memory="model.layers.{layer}."),
            rule("output_projection.weight", "lm_head.weight"),
        ),
    )


FAMILY = Family(
    model_type="biogpt",
    config=BioGptConfig,
    spec=spec,
    weights=weights,
    begins=CLASSIFIER,
    classes=classes("BioGpt", "sequence-classification", "token-classification"),
)
