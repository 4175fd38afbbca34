"""Granite MoE with an expert for every token."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.granitemoeshared import GraniteMoeSharedConfig
from hf_modeling.families.family import Family
from hf_modeling.families.granite_parts import (
    STACKED,
    granite,
    granite_experts,
    granite_mixer,
    granite_shared_rules,
)
from hf_modeling.families.moe_parts import always_on
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: GraniteMoeSharedConfig) -> DecoderSpec:
    """The decoder that such a config describes."""
    sparse = replace(granite_experts(c), shared=always_on(c.shared_intermediate_size, c.hidden_act))
    return granite(c, [granite_mixer(c)] * c.num_hidden_layers, sparse)


def weights(c: GraniteMoeSharedConfig) -> WeightTable:
    """Experts in one tensor for each projection, the shared one beside them."""
    return WeightTable(rules=(*STACKED, *granite_shared_rules(c.shared_intermediate_size)))


FAMILY = Family(
    model_type="granitemoeshared",
    config=GraniteMoeSharedConfig,
    spec=spec,
    weights=weights,
    classes=classes("GraniteMoeShared"),
)
