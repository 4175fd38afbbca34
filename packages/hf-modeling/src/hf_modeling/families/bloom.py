"""BLOOM: no positions but a bias that grows with distance, and a norm after the embeddings."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.bloom import BloomConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ALL_HEADS, CLASSIFIER, classes, decoder, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, GeometricAlibi, LayerNorm, Mlp, NormedStream, PreNorm, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: BloomConfig) -> DecoderSpec:
    """The decoder that a BLOOM config describes."""
    norm, join = LayerNorm(eps=c.layer_norm_epsilon), Sum(dropout=c.hidden_dropout)
    mixer = replace(many_heads(c, c.attention_dropout, bias=True), alibi=GeometricAlibi())
    ffn = Mlp(width=4 * c.hidden_size, activation="gelu_tanh", bias=True)
    block: PreNorm | NormedStream = pre_norm(mixer, ffn, norm)
    if c.apply_residual_connection_post_layernorm:
        block = NormedStream(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=norm)
    joined = replace(block, mixer_residual=join, ffn_residual=join)
    whole = decoder(c, [joined] * c.num_hidden_layers, norm)
    return replace(whole, embed=replace(whole.embed, norm=norm), classifier_dropout=c.hidden_dropout)


def weights(c: BloomConfig) -> WeightTable:
    """Rows of the fused projection go head by head, each its query, key and value."""
    layer, memory = "transformer.h.{layer}.", "model.layers.{layer}."
    heads, parts = c.n_head, tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    by_head = Split((c.hidden_size // heads,) * 3, groups=heads)
    names = {
        "input_layernorm.{s}": "input_layernorm.{s}",
        "post_attention_layernorm.{s}": "post_attention_layernorm.{s}",
        "self_attention.dense.{s}": "self_attn.o_proj.{s}",
        "mlp.dense_h_to_4h.{s}": "mlp.up_proj.{s}",
        "mlp.dense_4h_to_h.{s}": "mlp.down_proj.{s}",
    }
    outer = {
        "word_embeddings.weight": "embed_tokens.weight",
        "word_embeddings_layernorm.{s}": "stem.norm.{s}",
        "ln_f.{s}": "norm.{s}",
    }
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk=layer, memory=memory),
            rule(layer + "self_attention.query_key_value.{s}", parts, by_head),
        ),
    )


FAMILY = Family(
    model_type="bloom",
    config=BloomConfig,
    spec=spec,
    weights=weights,
    begins=CLASSIFIER,
    classes=classes("Bloom", *ALL_HEADS),
)
