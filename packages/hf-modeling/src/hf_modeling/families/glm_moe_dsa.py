"""GLM-5: latent attention over keys that an index picks, some layers looking where an earlier one looks."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.glm_moe_dsa import GlmMoeDsaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import INDEX_WEIGHTS, corrected_weights, latent, own_index, paired
from hf_modeling.families.moe_parts import by_kind, corrected_moe
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec, PreviousIndex
from hf_modeling.weights.table import WeightTable


def spec(c: GlmMoeDsaConfig) -> DecoderSpec:
    """The decoder that a GLM-5 config describes."""
    own = replace(latent(c), index=own_index(c, "interleaved"))
    follows = replace(own, index=PreviousIndex())
    mixers = (own if kind == "full" else follows for kind in c.indexer_types)
    return paired(c, mixers, by_kind(c.mlp_layer_types, gated_mlp(c), corrected_moe(c, c.n_routed_experts)))


def weights(c: GlmMoeDsaConfig) -> WeightTable:
    """One tensor for each expert and projection."""
    return corrected_weights(c.num_hidden_layers, 1, fp32=(INDEX_WEIGHTS,))


FAMILY = Family(
    model_type="glm_moe_dsa",
    config=GlmMoeDsaConfig,
    spec=spec,
    weights=weights,
    classes=classes("GlmMoeDsa"),
)
