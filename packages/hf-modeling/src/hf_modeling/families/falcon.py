"""Falcon: both parts side by side in most sizes, few keys, rotation or a bias by distance."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.falcon import FalconConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ALL_HEADS, CLASSIFIER, classes, decoder, many_heads, one_rope, pre_norm
from hf_modeling.spec import Block, DecoderSpec, GeometricAlibi, LayerNorm, Mlp, Parallel, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, drop, renames, rule


def spec(c: FalconConfig) -> DecoderSpec:
    """The decoder that a Falcon config describes: three block layouts over the years."""
    norm, join = LayerNorm(eps=c.layer_norm_epsilon), Sum(dropout=c.hidden_dropout)
    mixer = replace(
        many_heads(c, c.attention_dropout, bias=c.bias),
        kv_heads=key_heads(c),
        rope=None if c.alibi else one_rope(c, c.head_dim),
        alibi=GeometricAlibi(rounded=True) if c.alibi else None,
        softmax="input",
    )
    ffn = Mlp(width=c.ffn_hidden_size, activation=activation(c.activation), bias=c.bias)
    block: Block = replace(pre_norm(mixer, ffn, norm), mixer_residual=join, ffn_residual=join)
    if c.new_decoder_architecture or c.parallel_attn:
        second = norm if two_norms(c) else None
        block = Parallel(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=second, residual=join)
    return decoder(c, [block] * c.num_hidden_layers, norm)


def key_heads(c: FalconConfig) -> int:
    """How many keys the heads share."""
    if c.new_decoder_architecture:
        return c.num_kv_heads
    return 1 if c.multi_query else c.num_attention_heads


def two_norms(c: FalconConfig) -> bool:
    """Whether the two parallel parts have a norm each."""
    return c.new_decoder_architecture and c.num_ln_in_parallel_attn in (None, 2)


def weights(c: FalconConfig) -> WeightTable:
    """Rows of the fused projection go key by key: the queries that share it, the key, the value."""
    layer, memory, keys = "transformer.h.{layer}.", "model.layers.{layer}.", key_heads(c)
    parts = tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    queries = c.num_attention_heads // keys * c.head_dim
    fused = Split((queries, c.head_dim, c.head_dim), groups=keys)
    first, second = ("ln_attn", "ln_mlp") if two_norms(c) else ("input_layernorm", "post_attention_layernorm")
    names = {
        first + ".{s}": "input_layernorm.{s}",
        second + ".{s}": "post_attention_layernorm.{s}",
        "self_attention.dense.{s}": "self_attn.o_proj.{s}",
        "mlp.dense_h_to_4h.{s}": "mlp.up_proj.{s}",
        "mlp.dense_4h_to_h.{s}": "mlp.down_proj.{s}",
    }
    outer = {"word_embeddings.weight": "embed_tokens.weight", "ln_f.{s}": "norm.{s}"}
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk=layer, memory=memory),
            rule(layer + "self_attention.query_key_value.{s}", parts, fused),
        ),
    )


FAMILY = Family(
    model_type="falcon",
    config=FalconConfig,
    spec=spec,
    weights=weights,
    ignored=(
        drop("transformer.h.{layer}.self_attention.rotary_emb.inv_freq", why="recomputed from the config"),
    ),
    begins=CLASSIFIER,
    classes=classes("Falcon", *ALL_HEADS),
)
