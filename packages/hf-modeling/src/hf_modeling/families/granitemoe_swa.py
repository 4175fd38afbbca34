"""Granite MoE with windows, attention sinks, and a wavelength for each layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.granitemoe_swa import GraniteMoeSWAConfig
from hf_modeling.families.family import Family
from hf_modeling.families.granite_parts import granite, granite_experts, granite_mixer, granite_shared_rules
from hf_modeling.families.moe_parts import BLOCK, MOE, always_on
from hf_modeling.families.parts import classes, each_mask, one_rope
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable, renames


def spec(c: GraniteMoeSWAConfig) -> DecoderSpec:
    """The decoder that such a config describes; a layer whose theta is 0 has no positions."""
    mixer = replace(granite_mixer(c), sinks=True)
    turn = one_rope(c, mixer.head_dim)
    mixers = (
        replace(one, rope=replace(turn, theta=theta) if theta else None)
        for one, theta in zip(each_mask(mixer, c), c.layer_rope_theta, strict=True)
    )
    sparse = replace(granite_experts(c), shared=always_on(c.shared_intermediate_size, c.hidden_act))
    return granite(c, mixers, sparse)


def weights(c: GraniteMoeSWAConfig) -> WeightTable:
    """Experts under the names they have in memory, the shared one beside them."""
    names = {
        "experts.gate_up_proj": "experts.gate_up_proj",
        "experts.down_proj": "experts.down_proj",
        "router.weight": "gate.weight",
    }
    experts = renames(names, disk=BLOCK, memory=MOE)
    return WeightTable(rules=(*experts, *granite_shared_rules(c.shared_intermediate_size)))


FAMILY = Family(
    model_type="granitemoe_swa",
    config=GraniteMoeSWAConfig,
    spec=spec,
    weights=weights,
    classes=classes("GraniteMoeSWA"),
)
