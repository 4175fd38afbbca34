"""DeepSeek-V3: latent attention, and experts chosen by corrected scores within groups."""

from __future__ import annotations

from hf_config.families.deepseek_v3 import DeepseekV3Config
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import corrected_weights, interleaving, latent, paired
from hf_modeling.families.moe_parts import corrected_moe, dense_first
from hf_modeling.families.parts import ROTARY, classes, gated_mlp
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: DeepseekV3Config) -> DecoderSpec:
    """The decoder that a DeepSeek-V3 config describes."""
    mixers = [latent(c, interleaving(c.rope_interleave))] * c.num_hidden_layers
    sparse = corrected_moe(c, c.n_routed_experts)
    return paired(c, mixers, dense_first(c.first_k_dense_replace, c.num_hidden_layers, gated_mlp(c), sparse))


def weights(c: DeepseekV3Config) -> WeightTable:
    """One tensor for each expert and projection."""
    return corrected_weights(c.num_hidden_layers, c.num_nextn_predict_layers)


FAMILY = Family(
    model_type="deepseek_v3",
    config=DeepseekV3Config,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("DeepseekV3", "sequence-classification", "token-classification"),
)
