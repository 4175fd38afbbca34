"""Granite MoE: Granite with experts in every layer."""

from __future__ import annotations

from hf_config.families.granitemoe import GraniteMoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.granite_parts import STACKED, granite, granite_experts, granite_mixer
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: GraniteMoeConfig) -> DecoderSpec:
    """The decoder that a Granite MoE config describes."""
    return granite(c, [granite_mixer(c)] * c.num_hidden_layers, granite_experts(c))


def weights(c: GraniteMoeConfig) -> WeightTable:
    """Experts in one tensor for each projection."""
    return WeightTable(rules=STACKED)


FAMILY = Family(
    model_type="granitemoe",
    config=GraniteMoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("GraniteMoe"),
)
