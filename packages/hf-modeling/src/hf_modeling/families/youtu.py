"""Youtu: latent attention in a dense model."""

from __future__ import annotations

from hf_config.families.youtu import YoutuConfig
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import interleaving, latent
from hf_modeling.families.parts import classes, gated_mlp, layered, same_names
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: YoutuConfig) -> DecoderSpec:
    """The decoder that a Youtu config describes."""
    mixers = [latent(c, interleaving(c.rope_interleave))] * c.num_hidden_layers
    return layered(c, mixers, gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="youtu",
    config=YoutuConfig,
    spec=spec,
    weights=same_names,
    classes=classes("Youtu"),
)
