"""LFM2: short convolutions, with a few attention layers."""

from __future__ import annotations

from hf_config.families.lfm2 import Lfm2Config
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import LFM2_HEADS, short_conv_mixers, short_conv_rules, w_rules
from hf_modeling.families.parts import classes, layered
from hf_modeling.spec import DecoderSpec, GatedMlp, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: Lfm2Config) -> DecoderSpec:
    """The decoder that an LFM2 config describes."""
    norm = RmsNorm(eps=c.norm_eps)
    ffn = GatedMlp(width=width(c), activation="silu")
    return layered(c, short_conv_mixers(c), ffn, norm)


def width(c: Lfm2Config) -> int:
    """The inner width, adjusted for the gate and rounded up."""
    if not c.block_auto_adjust_ff_dim:
        return c.intermediate_size
    adjusted = int(c.block_ffn_dim_multiplier * int(2 * c.intermediate_size / 3))
    return -(-adjusted // c.block_multiple_of) * c.block_multiple_of


def weights(c: Lfm2Config) -> WeightTable:
    """A layer's parts under names of their own."""
    return WeightTable(rules=(*LFM2_HEADS, *short_conv_rules(c), *w_rules()))


FAMILY = Family(
    model_type="lfm2",
    config=Lfm2Config,
    spec=spec,
    weights=weights,
    classes=classes("Lfm2"),
)
