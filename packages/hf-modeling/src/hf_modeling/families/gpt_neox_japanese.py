"""GPT-NeoX Japanese: NeoX in sequence, with one bias: after the last layer's attention."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gpt_neox_japanese import GPTNeoXJapaneseConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, many_heads, one_rope, pre_norm
from hf_modeling.spec import DecoderSpec, LayerNorm, Mlp, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: GPTNeoXJapaneseConfig) -> DecoderSpec:
    """The decoder that a GPT-NeoX Japanese config describes."""
    norm, join = LayerNorm(eps=c.layer_norm_eps), Sum(dropout=c.hidden_dropout)
    mixer = many_heads(c, c.attention_dropout, bias=False)
    mixer = replace(mixer, rope=one_rope(c, mixer.head_dim))
    width = c.hidden_size * c.intermediate_multiple_size
    ffn = Mlp(width=width, activation=activation(c.hidden_act))
    last = c.num_hidden_layers - 1
    blocks = (
        replace(
            pre_norm(replace(mixer, output_bias=i == last), ffn, norm), mixer_residual=join, ffn_residual=join
        )
        for i in range(c.num_hidden_layers)
    )
    return decoder(c, blocks, norm)


def weights(c: GPTNeoXJapaneseConfig) -> WeightTable:
    """NeoX's names under another prefix."""
    layer, memory = "gpt_neox_japanese.layers.{layer}.", "model.layers.{layer}."
    heads, parts = c.num_attention_heads, tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    by_head = Split((c.hidden_size // heads,) * 3, groups=heads)
    names = {
        "input_layernorm.{s}": "input_layernorm.{s}",
        "post_attention_layernorm.{s}": "post_attention_layernorm.{s}",
        "attention.dense.weight": "self_attn.o_proj.weight",
        "attention.dense_bias": "self_attn.o_proj.bias",
        "mlp.dense_h_to_4h.weight": "mlp.up_proj.weight",
        "mlp.dense_4h_to_h.weight": "mlp.down_proj.weight",
    }
    return WeightTable(
        prefix="gpt_neox_japanese.",
        rules=(
            rule("gpt_neox_japanese.embed_in.weight", "model.embed_tokens.weight"),
            rule("gpt_neox_japanese.final_layer_norm.{s}", "model.norm.{s}"),
            rule("embed_out.weight", "lm_head.weight"),
            rule(layer + "attention.query_key_value.{s}", parts, by_head),
            *renames(names, disk=layer, memory=memory),
        ),
    )


FAMILY = Family(
    model_type="gpt_neox_japanese",
    config=GPTNeoXJapaneseConfig,
    spec=spec,
    weights=weights,
    classes=classes("GPTNeoXJapanese"),
)
