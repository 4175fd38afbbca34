"""Command R7B: Cohere with windowed layers, and full layers without positions."""

from __future__ import annotations

from hf_config.families.cohere2 import Cohere2Config
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    same_names,
    sliding_turns,
)
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Parallel


def spec(c: Cohere2Config) -> DecoderSpec:
    """The decoder that a Cohere 2 config describes."""
    norm = LayerNorm(eps=c.layer_norm_eps, bias=False)
    limit = c.max_position_embeddings
    turn = rope(c.rope_parameters, c.head_dim, limit, layout="interleaved", apply="float32")
    mixer = attention(c, turn, c.head_dim, bias=c.attention_bias)
    ffn = gated_mlp(c)
    blocks = (
        Parallel(mixer=one, mixer_norm=norm, ffn=ffn, ffn_norm=None)
        for one in sliding_turns(each_mask(mixer, c), c)
    )
    return decoder(c, blocks, norm, head=LmHead(tied=c.tie_word_embeddings, scale=c.logit_scale))


FAMILY = Family(
    model_type="cohere2",
    config=Cohere2Config,
    spec=spec,
    weights=same_names,
    classes=classes("Cohere2"),
)
