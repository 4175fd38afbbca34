"""DeepSeek-V3.2: DeepSeek-V3 whose queries look at the keys that an index picks."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.deepseek_v32 import DeepseekV32Config
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import INDEX_WEIGHTS, corrected_weights, latent, own_index, paired
from hf_modeling.families.moe_parts import by_kind, corrected_moe
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: DeepseekV32Config) -> DecoderSpec:
    """The decoder that a DeepSeek-V3.2 config describes."""
    mixers = [replace(latent(c), index=own_index(c, "half"))] * c.num_hidden_layers
    return paired(c, mixers, by_kind(c.mlp_layer_types, gated_mlp(c), corrected_moe(c, c.n_routed_experts)))


def weights(c: DeepseekV32Config) -> WeightTable:
    """One tensor for each expert and projection."""
    return corrected_weights(c.num_hidden_layers, 1, fp32=(INDEX_WEIGHTS,))


FAMILY = Family(
    model_type="deepseek_v32",
    config=DeepseekV32Config,
    spec=spec,
    weights=weights,
    classes=classes("DeepseekV32"),
)
