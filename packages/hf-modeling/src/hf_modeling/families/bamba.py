"""Bamba: Mamba-2's state spaces with attention in a few layers."""

from __future__ import annotations

from hf_config.families.bamba import BambaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import beside_attention, feed_forward_rules, mamba2
from hf_modeling.families.mixer_parts import each_of
from hf_modeling.families.parts import attention, classes, gated_mlp, layered, one_rope
from hf_modeling.spec import DecoderSpec, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: BambaConfig) -> DecoderSpec:
    """The decoder that a Bamba config describes."""
    turn = one_rope(c, c.hidden_size // c.num_attention_heads)
    full = attention(c, turn, bias=c.attention_bias)
    ffn = gated_mlp(c, bias=c.mlp_bias)
    return layered(c, each_of(c, mamba2(c), full), ffn, RmsNorm(eps=c.rms_norm_eps))


def weights(c: BambaConfig) -> WeightTable:
    """Names of Jamba's."""
    return WeightTable(rules=(*beside_attention(c.layer_types), *feed_forward_rules()))


FAMILY = Family(
    model_type="bamba",
    config=BambaConfig,
    spec=spec,
    weights=weights,
    classes=classes("Bamba"),
)
