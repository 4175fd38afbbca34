"""SmolLM3: Llama without positions, and perhaps with a window, on every fourth layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.smollm3 import SmolLM3Config
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


def spec(c: SmolLM3Config) -> DecoderSpec:
    """The decoder that a SmolLM3 config describes."""
    turn = one_rope(c, c.hidden_size // c.num_attention_heads)
    mixer = attention(c, turn, bias=c.attention_bias)
    rotated = zip(each_mask(mixer, c), c.no_rope_layers, strict=True)
    mixers = (replace(one, rope=turn if turns else None) for one, turns in rotated)
    return layered(c, mixers, gated_mlp(c, bias=c.mlp_bias), RmsNorm(eps=c.rms_norm_eps))


FAMILY = Family(
    model_type="smollm3",
    config=SmolLM3Config,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("SmolLM3", *ALL_HEADS),
)
