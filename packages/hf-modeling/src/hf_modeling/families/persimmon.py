"""Persimmon: layer norms, normalised heads, a squared-ReLU network, queries to values fused by head."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.persimmon import PersimmonConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, mlp, one_rope, pre_norm
from hf_modeling.spec import Attention, DecoderSpec, LayerNorm, QkNorm, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: PersimmonConfig) -> DecoderSpec:
    """The decoder that a Persimmon config describes."""
    norm, head_dim = LayerNorm(eps=c.layer_norm_eps), c.hidden_size // c.num_attention_heads
    mixer = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_attention_heads,
        head_dim=head_dim,
        rope=one_rope(c, head_dim),
        qkv_bias=True,
        output_bias=True,
        qk_norm=QkNorm(norm=norm) if c.qk_layernorm else None,
        dropout=c.attention_dropout,
    )
    block = replace(pre_norm(mixer, mlp(c, bias=True), norm), ffn_residual=Sum(dropout=c.hidden_dropout))
    return decoder(c, [block] * c.num_hidden_layers, norm)


def weights(c: PersimmonConfig) -> WeightTable:
    """Rows of the fused projection go head by head, each its query, key and value."""
    layer, head_dim = "model.layers.{layer}.", c.hidden_size // c.num_attention_heads
    names = {
        "self_attn.dense.{s}": "self_attn.o_proj.{s}",
        "self_attn.q_layernorm.{s}": "self_attn.q_norm.{s}",
        "self_attn.k_layernorm.{s}": "self_attn.k_norm.{s}",
        "mlp.dense_h_to_4h.{s}": "mlp.up_proj.{s}",
        "mlp.dense_4h_to_h.{s}": "mlp.down_proj.{s}",
    }
    parts = tuple(f"{layer}self_attn.{part}_proj.{{s}}" for part in "qkv")
    by_head = Split((head_dim,) * 3, groups=c.num_attention_heads)
    return WeightTable(
        rules=(
            rule(layer + "self_attn.query_key_value.{s}", parts, by_head),
            rule("model.final_layernorm.{s}", "model.norm.{s}"),
            *renames(names, disk=layer, memory=layer),
        )
    )


FAMILY = Family(
    model_type="persimmon",
    config=PersimmonConfig,
    spec=spec,
    weights=weights,
    classes=classes("Persimmon", "sequence-classification", "token-classification"),
)
