"""Falcon H1: attention and a state space side by side in every layer, with constant multipliers all over."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.falcon_h1 import FalconH1Config
from hf_modeling.families.family import Family
from hf_modeling.families.mamba_parts import feed_forward_rules, mamba2
from hf_modeling.families.mixer_parts import ATTENTION
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, one_rope, pre_norm
from hf_modeling.spec import AttentionBesideMamba, DecoderSpec, EmbedScale, LmHead, RmsNorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: FalconH1Config) -> DecoderSpec:
    """The decoder that a Falcon H1 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    turn = one_rope(c, c.hidden_size // c.num_attention_heads)
    full = replace(attention(c, turn, bias=c.attention_bias), key_multiplier=c.key_multiplier)
    z, x, b, into, dt = c.ssm_multipliers
    state = replace(
        mamba2(c),
        norm=norm if c.mamba_rms_norm else None,
        norm_first=c.mamba_norm_before_gate,
        output_bias=c.projectors_bias,
        multipliers=(z, x, b, into, dt),
        input_multiplier=c.ssm_in_multiplier,
        output_multiplier=c.ssm_out_multiplier,
    )
    both = AttentionBesideMamba(
        attention=full,
        mamba=state,
        attention_input=c.attention_in_multiplier,
        attention_output=c.attention_out_multiplier,
    )
    gate, down = c.mlp_multipliers
    ffn = replace(gated_mlp(c, bias=c.mlp_bias), gate_multiplier=gate, down_multiplier=down)
    return decoder(
        c,
        [pre_norm(both, ffn, norm)] * c.num_hidden_layers,
        norm,
        scale=EmbedScale(value=c.embedding_multiplier),
        head=LmHead(tied=c.tie_word_embeddings, scale=c.lm_head_multiplier),
    )


def weights(c: FalconH1Config) -> WeightTable:
    """Names of Jamba's, with both mixers in every layer."""
    layer = "model.layers.{layer}."
    return WeightTable(
        rules=(
            rule(layer + "mamba.{rest}", ATTENTION + "mamba.{rest}"),
            rule(layer + "self_attn.{rest}", ATTENTION + "attention.{rest}"),
            *feed_forward_rules(),
        )
    )


FAMILY = Family(
    model_type="falcon_h1",
    config=FalconH1Config,
    spec=spec,
    weights=weights,
    classes=classes("FalconH1"),
)
