"""RecurrentGemma: Griffin's gated recurrences with windowed attention."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.recurrent_gemma import RecurrentGemmaConfig
from hf_modeling.families.facts import activation, rope
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import each_of
from hf_modeling.families.parts import attention, classes, decoder, pre_norm, window
from hf_modeling.spec import DecoderSpec, EmbedScale, GatedMlp, LmHead, RgLru, RmsNorm
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: RecurrentGemmaConfig) -> DecoderSpec:
    """The decoder that a RecurrentGemma config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    kind = activation(c.hidden_activation)
    turn = rope(c.rope_parameters, c.head_dim, c.attention_window_size)
    full = replace(
        attention(c, turn, c.head_dim, bias=c.attention_bias),
        output_bias=True,
        mask=window(c.attention_window_size),
    )
    recurrence = RgLru(inner=c.lru_width, heads=c.num_attention_heads, conv=c.conv1d_width, activation=kind)
    ffn = GatedMlp(width=c.intermediate_size // 2, activation=kind, bias=True)
    return decoder(
        c,
        (pre_norm(mixer, ffn, norm) for mixer in each_of(c, recurrence, full)),
        norm,
        scale=EmbedScale(value=math.sqrt(c.hidden_size), cast="bfloat16"),
        head=LmHead(tied=c.tie_word_embeddings, softcap=c.logits_soft_cap),
    )


def weights(c: RecurrentGemmaConfig) -> WeightTable:
    """Griffin's names: what moves along time, and what along channels."""
    layer = "model.layers.{layer}."
    names = {
        "temporal_pre_norm.weight": "input_layernorm.weight",
        "channel_pre_norm.weight": "post_attention_layernorm.weight",
        "temporal_block.{rest}": "self_attn.{rest}",
        "mlp_block.{rest}": "mlp.{rest}",
    }
    final = rule("model.final_norm.weight", "model.norm.weight")
    return WeightTable(rules=(final, *renames(names, disk=layer, memory=layer)))


FAMILY = Family(
    model_type="recurrent_gemma",
    config=RecurrentGemmaConfig,
    spec=spec,
    weights=weights,
    classes=classes("RecurrentGemma"),
)
