"""Granite: Llama with constant multipliers on embeddings, scores, branches and logits."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.granite import GraniteConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, one_rope, pre_norm, same_names
from hf_modeling.spec import DecoderSpec, EmbedScale, LmHead, RmsNorm, Weighted


def spec(c: GraniteConfig) -> DecoderSpec:
    """The decoder that a Granite config describes."""
    norm, join = RmsNorm(eps=c.rms_norm_eps), Weighted(branch=c.residual_multiplier)
    head_dim = c.hidden_size // c.num_attention_heads
    mixer = attention(c, one_rope(c, head_dim), bias=c.attention_bias)
    block = pre_norm(replace(mixer, scale=c.attention_multiplier), gated_mlp(c, bias=c.mlp_bias), norm)
    return decoder(
        c,
        [replace(block, mixer_residual=join, ffn_residual=join)] * c.num_hidden_layers,
        norm,
        scale=EmbedScale(value=c.embedding_multiplier),
        head=LmHead(tied=c.tie_word_embeddings, scale=1 / c.logits_scaling),
    )


FAMILY = Family(
    model_type="granite",
    config=GraniteConfig,
    spec=spec,
    weights=same_names,
    classes=classes("Granite"),
)
