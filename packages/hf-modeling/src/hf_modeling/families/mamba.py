"""Mamba: selective state spaces and nothing else."""

from __future__ import annotations

from hf_config.families.mamba import MambaConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import backbone_weights, mamba1, only
from hf_modeling.families.parts import classes
from hf_modeling.spec import DecoderSpec


def spec(c: MambaConfig) -> DecoderSpec:
    """The decoder that a Mamba config describes."""
    return only(c, mamba1(c))


FAMILY = Family(
    model_type="mamba",
    config=MambaConfig,
    spec=spec,
    weights=backbone_weights,
    classes=classes("Mamba"),
)
