"""nanochat: norms without weights, heads that turn the other way, capped logits."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.nanochat import NanoChatConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, mlp, pre_norm
from hf_modeling.spec import DecoderSpec, LmHead, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: NanoChatConfig) -> DecoderSpec:
    """The decoder that a nanochat config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="none")
    head_dim = c.hidden_size // c.num_attention_heads
    turn = rope(c.rope_parameters, head_dim, c.max_position_embeddings, direction=-1)
    mixer = attention(c, turn, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm, place="after_rope"))
    head = LmHead(tied=c.tie_word_embeddings, softcap=c.final_logit_softcapping)
    whole = decoder(c, [pre_norm(mixer, mlp(c), norm)] * c.num_hidden_layers, norm, head=head)
    return replace(whole, embed=replace(whole.embed, norm=norm))


def weights(c: NanoChatConfig) -> WeightTable:
    """The network's two matrices are fc1 and fc2."""
    layer = "model.layers.{layer}.mlp."
    names = {"fc1.weight": "up_proj.weight", "fc2.weight": "down_proj.weight"}
    return WeightTable(rules=renames(names, disk=layer, memory=layer))


FAMILY = Family(
    model_type="nanochat",
    config=NanoChatConfig,
    spec=spec,
    weights=weights,
    classes=classes("NanoChat"),
)
