"""Gemma 3 text: Gemma 2 with normalised heads and a rotation for each kind of layer."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.gemma3_text import Gemma3TextConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, decoder, each_kind, same_names, sandwich
from hf_modeling.spec import DecoderSpec, EmbedScale, GatedMlp, LmHead, QkNorm, RmsNorm


def spec(c: Gemma3TextConfig) -> DecoderSpec:
    """The decoder that a Gemma 3 text config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    mixer = replace(
        attention(c, None, c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        scale=c.query_pre_attn_scalar**-0.5,
        softcap=c.attn_logit_softcapping,
    )
    ffn = GatedMlp(width=c.intermediate_size, activation=activation(c.hidden_activation))
    return decoder(
        c,
        (sandwich(one, ffn, norm) for one in each_kind(mixer, c)),
        norm,
        scale=EmbedScale(value=math.sqrt(c.hidden_size), cast="weight"),
        head=LmHead(tied=c.tie_word_embeddings, softcap=c.final_logit_softcapping),
    )


FAMILY = Family(
    model_type="gemma3_text",
    config=Gemma3TextConfig,
    spec=spec,
    weights=same_names,
    classes={
        "base": "Gemma3TextModel",
        "causal-lm": "Gemma3ForCausalLM",
        "sequence-classification": "Gemma3TextForSequenceClassification",
    },
)
