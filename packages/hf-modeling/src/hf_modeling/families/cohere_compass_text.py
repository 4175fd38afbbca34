"""Cohere Compass text: Cohere 2 with a rotation, or none, for each kind of layer."""

from __future__ import annotations

from hf_config.families.cohere_compass_text import CohereCompassTextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, decoder, each_kind, gated_mlp, same_names
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Parallel


def spec(c: CohereCompassTextConfig) -> DecoderSpec:
    """The decoder that a Cohere Compass text config describes."""
    norm, ffn = LayerNorm(eps=c.layer_norm_eps, bias=False), gated_mlp(c)
    mixer = attention(c, None, c.head_dim, bias=c.attention_bias)
    blocks = (Parallel(mixer=one, mixer_norm=norm, ffn=ffn, ffn_norm=None) for one in each_kind(mixer, c))
    scale = 1.0 if c.logit_scale is None else c.logit_scale
    return decoder(c, blocks, norm, head=LmHead(tied=c.tie_word_embeddings, scale=scale))


FAMILY = Family(
    model_type="cohere_compass_text",
    config=CohereCompassTextConfig,
    spec=spec,
    weights=same_names,
    classes={"base": "CohereCompassTextModel", "causal-lm": "CohereCompassForCausalLM"},
)
