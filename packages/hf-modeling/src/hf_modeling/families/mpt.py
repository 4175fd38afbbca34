"""MPT: no biases, a bias by distance in place of positions, fused projections."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mpt import MptConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ALL_HEADS, CLASSIFIER, classes, decoder, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, InterleavedAlibi, LayerNorm, Mlp, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: MptConfig) -> DecoderSpec:
    """The decoder that an MPT config describes."""
    norm, join, own = (
        LayerNorm(eps=c.layer_norm_epsilon, bias=False),
        Sum(dropout=c.resid_pdrop),
        c.attn_config,
    )
    mixer = replace(
        many_heads(c, float(own.attn_pdrop), bias=False),
        alibi=InterleavedAlibi(max_bias=own.alibi_bias_max),
        clip=own.clip_qkv,
        scale=own.softmax_scale,
    )
    ffn = Mlp(width=4 * c.hidden_size, activation="gelu")
    block = replace(pre_norm(mixer, ffn, norm), ffn_residual=join)
    return decoder(c, [block] * c.num_hidden_layers, norm)


def weights(c: MptConfig) -> WeightTable:
    """MPT's own names."""
    layer, memory = "transformer.blocks.{layer}.", "model.layers.{layer}."
    parts = tuple(f"{memory}self_attn.{part}_proj.weight" for part in "qkv")
    names = {
        "norm_1.weight": "input_layernorm.weight",
        "norm_2.weight": "post_attention_layernorm.weight",
        "attn.out_proj.weight": "self_attn.o_proj.weight",
        "ffn.up_proj.weight": "mlp.up_proj.weight",
        "ffn.down_proj.weight": "mlp.down_proj.weight",
    }
    outer = {"wte.weight": "embed_tokens.weight", "norm_f.weight": "norm.weight"}
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk=layer, memory=memory),
            rule(layer + "attn.Wqkv.weight", parts, Split((c.hidden_size,) * 3)),
        ),
    )


FAMILY = Family(
    model_type="mpt",
    config=MptConfig,
    spec=spec,
    weights=weights,
    begins=CLASSIFIER,
    classes=classes("Mpt", *ALL_HEADS),
)
