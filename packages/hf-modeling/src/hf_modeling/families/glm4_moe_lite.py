"""GLM-4.7 Flash: latent attention, and experts as DeepSeek-V3 has them."""

from __future__ import annotations

from hf_config.families.glm4_moe_lite import Glm4MoeLiteConfig
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import corrected_weights, interleaving, latent, paired
from hf_modeling.families.moe_parts import by_kind, corrected_moe
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: Glm4MoeLiteConfig) -> DecoderSpec:
    """The decoder that a GLM-4.7 Flash config describes."""
    mixers = [latent(c, interleaving(c.rope_interleave))] * c.num_hidden_layers
    return paired(c, mixers, by_kind(c.mlp_layer_types, gated_mlp(c), corrected_moe(c, c.n_routed_experts)))


def weights(c: Glm4MoeLiteConfig) -> WeightTable:
    """One tensor for each expert and projection."""
    return corrected_weights(c.num_hidden_layers, 1)


FAMILY = Family(
    model_type="glm4_moe_lite",
    config=Glm4MoeLiteConfig,
    spec=spec,
    weights=weights,
    classes=classes("Glm4MoeLite"),
)
