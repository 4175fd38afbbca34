"""GPT-NeoX: both parts side by side with a norm each, a quarter of each head turning."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gpt_neox import GPTNeoXConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import (
    ALL_HEADS,
    CLASSIFIER,
    classes,
    decoder,
    many_heads,
    mlp,
    one_rope,
    pre_norm,
)
from hf_modeling.spec import Block, DecoderSpec, LayerNorm, Parallel, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, drop, renames, rule


def spec(c: GPTNeoXConfig) -> DecoderSpec:
    """The decoder that a GPT-NeoX config describes."""
    norm, join = LayerNorm(eps=c.layer_norm_eps), Sum(dropout=c.hidden_dropout)
    mixer = many_heads(c, c.attention_dropout, bias=c.attention_bias)
    mixer = replace(mixer, rope=one_rope(c, mixer.head_dim))
    ffn = mlp(c, bias=True)
    block: Block = replace(pre_norm(mixer, ffn, norm), mixer_residual=join, ffn_residual=join)
    if c.use_parallel_residual:
        block = Parallel(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=norm, residual=join)
    whole = decoder(c, [block] * c.num_hidden_layers, norm)
    return replace(whole, classifier_dropout=c.classifier_dropout)


def weights(c: GPTNeoXConfig) -> WeightTable:
    """Rows of the fused projection go head by head, each its query, key and value."""
    layer, memory = "gpt_neox.layers.{layer}.", "model.layers.{layer}."
    heads, parts = c.num_attention_heads, tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    by_head = Split((c.hidden_size // heads,) * 3, groups=heads)
    names = {
        "input_layernorm.{s}": "input_layernorm.{s}",
        "post_attention_layernorm.{s}": "post_attention_layernorm.{s}",
        "attention.dense.{s}": "self_attn.o_proj.{s}",
        "mlp.dense_h_to_4h.{s}": "mlp.up_proj.{s}",
        "mlp.dense_4h_to_h.{s}": "mlp.down_proj.{s}",
    }
    return WeightTable(
        prefix="gpt_neox.",
        rules=(
            rule("gpt_neox.embed_in.weight", "model.embed_tokens.weight"),
            rule("gpt_neox.final_layer_norm.{s}", "model.norm.{s}"),
            rule("embed_out.weight", "lm_head.weight"),
            rule(layer + "attention.query_key_value.{s}", parts, by_head),
            *renames(names, disk=layer, memory=memory),
        ),
    )


FAMILY = Family(
    model_type="gpt_neox",
    config=GPTNeoXConfig,
    spec=spec,
    weights=weights,
    ignored=(
        drop("gpt_neox.layers.{layer}.attention.bias", why="the causal mask, not a weight"),
        drop("gpt_neox.layers.{layer}.attention.masked_bias", why="the value of masked scores"),
        drop("gpt_neox.layers.{layer}.attention.rotary_emb.inv_freq", why="recomputed from the config"),
    ),
    begins=CLASSIFIER,
    classes=classes("GPTNeoX", *ALL_HEADS),
)
