"""RWKV-4: token shifts and fading averages in place of attention."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.rwkv import RwkvConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import ATTENTION
from hf_modeling.families.parts import classes, decoder, pre_norm
from hf_modeling.spec import ChannelMix, DecoderSpec, LayerNorm, Rwkv
from hf_modeling.weights.table import WeightTable, renames


def spec(c: RwkvConfig) -> DecoderSpec:
    """The decoder that an RWKV config describes.

    `rescale_every` halves the stream and what is added to it, for ranges of float16: norms undo it, so that the
    result is the same, and it is left out.
    """
    norm = LayerNorm(eps=c.layer_norm_epsilon)
    block = pre_norm(Rwkv(inner=c.attention_hidden_size), ChannelMix(width=c.intermediate_size), norm)
    whole = decoder(c, [block] * c.num_hidden_layers, norm)
    return replace(whole, embed=replace(whole.embed, norm=norm))


def weights(c: RwkvConfig) -> WeightTable:
    """The norm of embeddings is a part of the first layer on disk."""
    outer = {
        "rwkv.embeddings.weight": "model.embed_tokens.weight",
        "rwkv.blocks.0.pre_ln.{s}": "model.stem.norm.{s}",
        "rwkv.ln_out.{s}": "model.norm.{s}",
        "head.weight": "lm_head.weight",
    }
    layer = {
        "ln1.{s}": "input_layernorm.{s}",
        "ln2.{s}": "post_attention_layernorm.{s}",
        "attention.{rest}": "self_attn.{rest}",
        "feed_forward.{rest}": "mlp.{rest}",
    }
    return WeightTable(
        prefix="rwkv.",
        rules=(
            *renames(outer),
            *renames(layer, disk="rwkv.blocks.{layer}.", memory="model.layers.{layer}."),
        ),
        fp32=(ATTENTION + "time_decay", ATTENTION + "time_first"),
    )


FAMILY = Family(
    model_type="rwkv",
    config=RwkvConfig,
    spec=spec,
    weights=weights,
    classes=classes("Rwkv"),
)
