"""EXAONE 4: norms after each part, normalised heads, full layers without positions."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.exaone4 import Exaone4Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    ANSWERS_BEGIN,
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    one_rope,
    post_norm,
    same_names,
    sliding_turns,
)
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm


def spec(c: Exaone4Config) -> DecoderSpec:
    """The decoder that an EXAONE 4 config describes; without a window every layer has positions."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.hidden_size // c.num_attention_heads))
    mixers = each_mask(replace(mixer, qk_norm=QkNorm(norm=norm)), c)
    if c.sliding_window is not None:
        mixers = sliding_turns(mixers, c)
    ffn = gated_mlp(c)
    return decoder(c, (post_norm(one, ffn, norm) for one in mixers), norm)


FAMILY = Family(
    model_type="exaone4",
    config=Exaone4Config,
    spec=spec,
    weights=same_names,
    begins=ANSWERS_BEGIN,
    classes=classes("Exaone4", *ALL_HEADS),
)
