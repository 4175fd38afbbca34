"""Granite 4: Granite with Mamba-2's state spaces, and a shared network beside the experts or alone."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.granitemoehybrid import GraniteMoeHybridConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.granite_parts import (
    STACKED,
    granite,
    granite_experts,
    granite_mixer,
    granite_shared_rules,
)
from hf_modeling.families.mamba_parts import beside_attention, mamba2
from hf_modeling.families.mixer_parts import each_of
from hf_modeling.families.moe_parts import MOE, always_on
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec, Ffn, GatedMlp
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import Rule, WeightTable, rule


def spec(c: GraniteMoeHybridConfig) -> DecoderSpec:
    """The decoder that a Granite 4 config describes."""
    full = granite_mixer(c)
    if c.position_embedding_type != "rope":
        full = replace(full, rope=None)
    ffn: Ffn = GatedMlp(width=c.shared_intermediate_size, activation=activation(c.hidden_act))
    if c.num_local_experts:
        ffn = replace(granite_experts(c), shared=always_on(c.shared_intermediate_size, c.hidden_act))
    return granite(c, each_of(c, mamba2(c), full), ffn)


def weights(c: GraniteMoeHybridConfig) -> WeightTable:
    """Gate and up projection of the shared network in one matrix, all experts of a layer in one tensor."""
    shared = c.shared_intermediate_size
    joined = granite_shared_rules(shared) if c.num_local_experts else shared_alone(shared)
    return WeightTable(rules=(*STACKED, *joined, *beside_attention(c.layer_types)))


def shared_alone(width: int) -> tuple[Rule, ...]:
    """The shared network where it is the only one."""
    disk = "model.layers.{layer}.shared_mlp."
    parts = (MOE + "gate_proj.weight", MOE + "up_proj.weight")
    return (
        rule(disk + "input_linear.weight", parts, Split((width, width))),
        rule(disk + "output_linear.weight", MOE + "down_proj.weight"),
    )


FAMILY = Family(
    model_type="granitemoehybrid",
    config=GraniteMoeHybridConfig,
    spec=spec,
    weights=weights,
    classes=classes("GraniteMoeHybrid"),
)
