"""VaultGemma: Gemma 2 with norms before each part only."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.vaultgemma import VaultGemmaConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, each_mask, one_rope, pre_norm
from hf_modeling.spec import DecoderSpec, EmbedScale, GatedMlp, LmHead, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: VaultGemmaConfig) -> DecoderSpec:
    """The decoder that a VaultGemma config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    mixer = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias),
        scale=c.query_pre_attn_scalar**-0.5,
        softcap=c.attn_logit_softcapping,
    )
    ffn = GatedMlp(width=c.intermediate_size, activation=activation(c.hidden_activation))
    return decoder(
        c,
        (pre_norm(one, ffn, norm) for one in each_mask(mixer, c)),
        norm,
        scale=EmbedScale(value=math.sqrt(c.hidden_size), cast="weight"),
        head=LmHead(tied=c.tie_word_embeddings, softcap=c.final_logit_softcapping),
    )


def weights(c: VaultGemmaConfig) -> WeightTable:
    """The second norm has the name it has in Gemma 2."""
    layer = "model.layers.{layer}."
    return WeightTable(
        rules=(rule(layer + "pre_feedforward_layernorm.weight", layer + "post_attention_layernorm.weight"),)
    )


FAMILY = Family(
    model_type="vaultgemma",
    config=VaultGemmaConfig,
    spec=spec,
    weights=weights,
    classes=classes("VaultGemma"),
)
