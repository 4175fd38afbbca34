"""CWM: Llama with a window on all but every fourth layer."""

from __future__ import annotations

from hf_config.families.cwm import CwmConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, each_mask, gated_mlp, layered, one_rope, same_names
from hf_modeling.spec import DecoderSpec, RmsNorm


def spec(c: CwmConfig) -> DecoderSpec:
    """The decoder that a CWM config describes."""
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim)
    return layered(c, each_mask(mixer, c), gated_mlp(c, bias=c.mlp_bias), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="cwm",
    config=CwmConfig,
    spec=spec,
    weights=same_names,
    classes=classes("Cwm"),
)
