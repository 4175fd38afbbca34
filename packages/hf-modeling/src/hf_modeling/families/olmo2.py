"""OLMo 2: norms after each part, queries and keys normalised over all heads."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.olmo2 import Olmo2Config
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ROTARY, attention, classes, decoder, gated_mlp, post_norm, same_names
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm


def spec(c: Olmo2Config) -> DecoderSpec:
    """The decoder that an OLMo 2 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    head_dim = c.hidden_size // c.num_attention_heads
    turn = rope(c.rope_parameters, head_dim, c.max_position_embeddings, apply="float32")
    mixer = attention(c, turn, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm, over="width"))
    return decoder(c, [post_norm(mixer, gated_mlp(c), norm)] * c.num_hidden_layers, norm)


FAMILY = Family(
    model_type="olmo2",
    config=Olmo2Config,
    spec=spec,
    weights=same_names,
    ignored=(ROTARY,),
    classes=classes("Olmo2", "sequence-classification"),
)
