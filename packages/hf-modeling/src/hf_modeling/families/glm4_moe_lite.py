"""GLM-4.7 Flash: latent attention, and experts as DeepSeek-V3 has them."""

from __future__ import annotations

from hf_config.families.glm4_moe_lite import Glm4MoeLiteConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import corrected_weights, dense_and_sparse, interleaving, latent
from hf_modeling.families.moe_parts import corrected_moe
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: Glm4MoeLiteConfig) -> DecoderSpec:
    """The decoder that a GLM-4.7 Flash config describes."""
    mixers = [latent(c, interleaving(c.rope_interleave))] * c.num_hidden_layers
    return dense_and_sparse(c, mixers, corrected_moe(c, c.n_routed_experts), c.mlp_layer_types)


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
