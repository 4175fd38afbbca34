"""Gemma 4 unified text: sandwiches times a trained number, full layers with heads of their own."""

from __future__ import annotations

from hf_config.families.gemma4_unified_text import Gemma4UnifiedTextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.gemma4_parts import (
    borrowed_keys,
    gemma4_decoder,
    gemma4_mixers,
    gemma4_mlps,
    gemma4_norm,
)
from hf_modeling.families.parts import sandwich
from hf_modeling.spec import DecoderSpec, ScaledSandwich
from hf_modeling.weights.table import WeightTable


def spec(c: Gemma4UnifiedTextConfig) -> DecoderSpec:
    """The decoder that such a config describes."""
    norm, both = gemma4_norm(c), zip(gemma4_mixers(c), gemma4_mlps(c), strict=True)
    return gemma4_decoder(c, (ScaledSandwich(sandwich=sandwich(mixer, mlp, norm)) for mixer, mlp in both))


def weights(c: Gemma4UnifiedTextConfig) -> WeightTable:
    """Names on disk are the names in memory."""
    return WeightTable(rules=(borrowed_keys(c),))


FAMILY = Family(
    model_type="gemma4_unified_text",
    config=Gemma4UnifiedTextConfig,
    spec=spec,
    weights=weights,
    classes={"base": "Gemma4UnifiedTextModel", "causal-lm": "Gemma4UnifiedForCausalLM"},
)
