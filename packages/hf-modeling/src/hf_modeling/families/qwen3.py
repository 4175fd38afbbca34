"""Qwen3: Llama with normalised heads, and a window on late layers."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.qwen3 import Qwen3Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, masks, one_rope, pre_norm
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: Qwen3Config) -> DecoderSpec:
    """The decoder that a Qwen3 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm))
    return decoder(c, (pre_norm(replace(mixer, mask=mask), gated_mlp(c), norm) for mask in masks(c)), norm)


def weights(c: Qwen3Config) -> WeightTable:
    """Names on disk are the names in memory."""
    return WeightTable()


FAMILY = Family(
    model_type="qwen3",
    config=Qwen3Config,
    spec=spec,
    weights=weights,
    classes=classes("Qwen3", "sequence-classification", "token-classification", "question-answering"),
)
