"""StarCoder2: layer norms, biases, a plain GELU network, and perhaps a window."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.starcoder2 import Starcoder2Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, mlp, one_rope, pre_norm, window
from hf_modeling.spec import DecoderSpec, LayerNorm, Sum
from hf_modeling.weights.table import WeightTable, renames


def spec(c: Starcoder2Config) -> DecoderSpec:
    """The decoder that a StarCoder2 config describes."""
    norm, join = LayerNorm(eps=c.norm_epsilon), Sum(dropout=c.residual_dropout)
    head_dim = c.hidden_size // c.num_attention_heads
    mixer = replace(attention(c, one_rope(c, head_dim), bias=c.use_bias), mask=window(c.sliding_window))
    block = pre_norm(mixer, mlp(c, bias=c.use_bias), norm)
    whole = decoder(c, [replace(block, mixer_residual=join, ffn_residual=join)] * c.num_hidden_layers, norm)
    return replace(whole, embed=replace(whole.embed, dropout=c.embedding_dropout))


def weights(c: Starcoder2Config) -> WeightTable:
    """The network's two matrices have GPT-2's names."""
    names = {"c_fc.{s}": "up_proj.{s}", "c_proj.{s}": "down_proj.{s}"}
    layer = "model.layers.{layer}.mlp."
    return WeightTable(rules=renames(names, disk=layer, memory=layer))


FAMILY = Family(
    model_type="starcoder2",
    config=Starcoder2Config,
    spec=spec,
    weights=weights,
    classes=classes("Starcoder2", "sequence-classification", "token-classification"),
)
