"""Falcon Mamba: Mamba with normalised steps, inputs and outputs."""

from __future__ import annotations

from hf_config.families.falcon_mamba import FalconMambaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import backbone_weights, mamba1, only
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: FalconMambaConfig) -> DecoderSpec:
    """The decoder that a Falcon Mamba config describes."""
    return only(c, mamba1(c, RmsNorm(eps=c.mixer_rms_eps, weight="none")))


FAMILY = Family(
    model_type="falcon_mamba",
    config=FalconMambaConfig,
    spec=spec,
    weights=backbone_weights,
    classes=classes("FalconMamba"),
)
