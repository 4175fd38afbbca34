"""Mistral: Llama whose layers may all attend within a window."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mistral import MistralConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ROTARY,
    attention,
    classes,
    decoder,
    gated_mlp,
    one_rope,
    pre_norm,
    window,
)
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: MistralConfig) -> DecoderSpec:
    """The decoder that a Mistral config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(attention(c, one_rope(c, c.head_dim), c.head_dim), mask=window(c.sliding_window))
    return decoder(c, [pre_norm(mixer, gated_mlp(c), norm)] * c.num_hidden_layers, norm)


def weights(c: MistralConfig) -> WeightTable:
    """Names on disk are the names in memory."""
    return WeightTable()


FAMILY = Family(
    model_type="mistral",
    config=MistralConfig,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("Mistral", "sequence-classification", "token-classification", "question-answering"),
)
