"""HyperCLOVA X: Granite, perhaps with a norm after each part as well."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.hyperclovax import HyperCLOVAXConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, one_rope, pre_norm, sandwich
from hf_modeling.spec import DecoderSpec, EmbedScale, LmHead, PreNorm, RmsNorm, Sandwich, Weighted
from hf_modeling.weights.table import WeightTable, renames


def spec(c: HyperCLOVAXConfig) -> DecoderSpec:
    """The decoder that a HyperCLOVA X config describes."""
    norm, join = RmsNorm(eps=c.rms_norm_eps), Weighted(branch=c.residual_multiplier)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    mixer, ffn = replace(mixer, scale=c.attention_multiplier), gated_mlp(c, bias=c.mlp_bias)
    block: PreNorm | Sandwich = pre_norm(mixer, ffn, norm)
    if c.use_post_norm:
        block = sandwich(mixer, ffn, norm)
    return decoder(
        c,
        [replace(block, mixer_residual=join, ffn_residual=join)] * c.num_hidden_layers,
        norm,
        scale=EmbedScale(value=c.embedding_multiplier),
        head=LmHead(tied=c.tie_word_embeddings, scale=c.logits_scaling),
    )


def weights(c: HyperCLOVAXConfig) -> WeightTable:
    """Norms after a part have names of their own, where there are any."""
    if not c.use_post_norm:
        return WeightTable()
    names = {
        "post_norm1.weight": "post_attention_layernorm.weight",
        "post_attention_layernorm.weight": "pre_feedforward_layernorm.weight",
        "post_norm2.weight": "post_feedforward_layernorm.weight",
    }
    layer = "model.layers.{layer}."
    return WeightTable(rules=renames(names, disk=layer, memory=layer))


FAMILY = Family(
    model_type="hyperclovax",
    config=HyperCLOVAXConfig,
    spec=spec,
    weights=weights,
    classes=classes("HyperCLOVAX"),
)
