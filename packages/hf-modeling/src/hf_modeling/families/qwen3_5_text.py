"""Qwen3.5's text model: gated delta nets and gated attention."""

from __future__ import annotations

from hf_config.families.qwen3_5_text import Qwen3_5TextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import MULTIMODAL_PARTS, gated_delta_decoder, gated_delta_rules
from hf_modeling.families.parts import gated_mlp
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: Qwen3_5TextConfig) -> DecoderSpec:
    """The decoder that a Qwen3.5 text config describes."""
    return gated_delta_decoder(c, [gated_mlp(c)] * c.num_hidden_layers)


def weights(c: Qwen3_5TextConfig) -> WeightTable:
    """Queries with their gates apart."""
    return WeightTable(rules=gated_delta_rules(c))


FAMILY = Family(
    model_type="qwen3_5_text",
    config=Qwen3_5TextConfig,
    spec=spec,
    weights=weights,
    ignored=MULTIMODAL_PARTS,
    classes={
        "base": "Qwen3_5TextModel",
        "causal-lm": "Qwen3_5ForCausalLM",
        "sequence-classification": "Qwen3_5TextForSequenceClassification",
    },
)
