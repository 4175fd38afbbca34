"""OLMo 3: OLMo 2 with three windowed layers before each full one."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.olmo3 import Olmo3Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_kind,
    gated_mlp,
    post_norm,
    same_names,
)
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm


def spec(c: Olmo3Config) -> DecoderSpec:
    """The decoder that an OLMo 3 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    mixer = replace(attention(c, None, bias=c.attention_bias), qk_norm=QkNorm(norm=norm, over="width"))
    ffn = gated_mlp(c)
    turned = each_kind(mixer, c, apply="float32")
    return decoder(c, (post_norm(one, ffn, norm) for one in turned), norm)


FAMILY = Family(
    model_type="olmo3",
    config=Olmo3Config,
    spec=spec,
    weights=same_names,
    classes=classes("Olmo3", "sequence-classification"),
)
