"""Granite SWA: Granite with windows, attention sinks, and a wavelength for each layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.granite_swa import GraniteSWAConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    one_rope,
    pre_norm,
    same_names,
)
from hf_modeling.spec import DecoderSpec, EmbedScale, LmHead, RmsNorm, Weighted


def spec(c: GraniteSWAConfig) -> DecoderSpec:
    """The decoder that a Granite SWA config describes; a layer whose theta is 0 has no positions."""
    norm, join = RmsNorm(eps=c.rms_norm_eps), Weighted(branch=c.residual_multiplier)
    mixer = attention(c, None, bias=c.attention_bias)
    mixer = replace(mixer, scale=c.attention_multiplier, sinks=True)
    turn = one_rope(c, mixer.head_dim)
    ffn = gated_mlp(c, bias=c.mlp_bias)
    blocks = (
        replace(
            pre_norm(replace(one, rope=replace(turn, theta=theta) if theta else None), ffn, norm),
            mixer_residual=join,
            ffn_residual=join,
        )
        for one, theta in zip(each_mask(mixer, c), c.layer_rope_theta, strict=True)
    )
    head = LmHead(tied=c.tie_word_embeddings, scale=1 / c.logits_scaling)
    return decoder(c, blocks, norm, scale=EmbedScale(value=c.embedding_multiplier), head=head)


FAMILY = Family(
    model_type="granite_swa",
    config=GraniteSWAConfig,
    spec=spec,
    weights=same_names,
    classes=classes("GraniteSWA"),
)
