"""A.X K1: DeepSeek-V3 with a norm behind each mixture of experts."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.axk1 import AXK1Config
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import corrected_weights, interleaving, latent, paired
from hf_modeling.families.moe_parts import by_kind, corrected_moe
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: AXK1Config) -> DecoderSpec:
    """The decoder that an A.X K1 config describes."""
    mixers = [latent(c, interleaving(c.rope_interleave))] * c.num_hidden_layers
    sparse = replace(corrected_moe(c, c.n_routed_experts), output_norm=RmsNorm(eps=c.rms_norm_eps))
    return paired(c, mixers, by_kind(c.mlp_layer_types, gated_mlp(c), sparse))


def weights(c: AXK1Config) -> WeightTable:
    """The norm behind the experts is a part of its layer on disk."""
    table = corrected_weights(c.num_hidden_layers)
    layer = "model.layers.{layer}."
    norm = rule(layer + "post_mlp_layernorm.weight", layer + "mlp.output_norm.weight")
    return replace(table, rules=(norm, *table.rules))


FAMILY = Family(
    model_type="axk1",
    config=AXK1Config,
    spec=spec,
    weights=weights,
    classes=classes("AXK1", "sequence-classification", "token-classification"),
)
