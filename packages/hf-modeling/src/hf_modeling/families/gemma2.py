"""Gemma 2: Gemma with a norm around each part, capped scores and logits, and windows."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.gemma2 import Gemma2Config
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, each_mask, one_rope, same_names, sandwich
from hf_modeling.spec import DecoderSpec, EmbedScale, GatedMlp, LmHead, RmsNorm


def spec(c: Gemma2Config) -> DecoderSpec:
    """The decoder that a Gemma 2 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    mixer = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias),
        scale=c.query_pre_attn_scalar**-0.5,
        softcap=c.attn_logit_softcapping,
    )
    ffn = GatedMlp(width=c.intermediate_size, activation=activation(c.hidden_activation))
    return decoder(
        c,
        (sandwich(one, ffn, norm) for one in each_mask(mixer, c)),
        norm,
        scale=EmbedScale(value=math.sqrt(c.hidden_size), cast="weight"),
        head=LmHead(tied=c.tie_word_embeddings, softcap=c.final_logit_softcapping),
    )


FAMILY = Family(
    model_type="gemma2",
    config=Gemma2Config,
    spec=spec,
    weights=same_names,
    classes=classes("Gemma2", "sequence-classification", "token-classification"),
)
