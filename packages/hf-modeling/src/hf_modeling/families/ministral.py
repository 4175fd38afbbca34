"""Ministral: Mistral that says for each layer whether it has the window."""

from __future__ import annotations

from hf_config.families.ministral import MinistralConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    attention,
    classes,
    each_mask,
    gated_mlp,
    layered,
    one_rope,
    same_names,
)
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: MinistralConfig) -> DecoderSpec:
    """The decoder that a Ministral config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim)
    return layered(c, each_mask(mixer, c), gated_mlp(c), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="ministral",
    config=MinistralConfig,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("Ministral", *ALL_HEADS),
)
