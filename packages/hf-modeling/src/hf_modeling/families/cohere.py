"""Command R: both parts read one norm, neighbouring features turn, logits are scaled."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.cohere import CohereConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ROTARY, attention, classes, decoder, gated_mlp, same_names
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Parallel, QkNorm


def spec(c: CohereConfig) -> DecoderSpec:
    """The decoder that a Cohere config describes."""
    norm = LayerNorm(eps=c.layer_norm_eps, bias=False)
    head_dim = c.hidden_size // c.num_attention_heads
    limit = c.max_position_embeddings
    turn = rope(c.rope_parameters, head_dim, limit, layout="interleaved", apply="float32")
    mixer = attention(c, turn, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm, over="each_head") if c.use_qk_norm else None)
    block = Parallel(mixer=mixer, mixer_norm=norm, ffn=gated_mlp(c), ffn_norm=None)
    head = LmHead(tied=c.tie_word_embeddings, scale=c.logit_scale or 1.0)
    return decoder(c, [block] * c.num_hidden_layers, norm, head=head)


FAMILY = Family(
    model_type="cohere",
    config=CohereConfig,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    classes=classes("Cohere"),
)
