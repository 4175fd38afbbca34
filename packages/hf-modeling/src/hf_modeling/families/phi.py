"""Phi: both parts read one layer norm, half of each head turns, biases everywhere."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.phi import PhiConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ROTARY, attention, classes, decoder, mlp, one_rope
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Parallel, QkNorm, Sum
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: PhiConfig) -> DecoderSpec:
    """The decoder that a Phi config describes."""
    norm = LayerNorm(eps=c.layer_norm_eps)
    mixer = attention(c, one_rope(c, c.hidden_size // c.num_attention_heads), bias=True)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm) if c.qk_layernorm else None)
    join = Sum(dropout=c.resid_pdrop)
    block = Parallel(mixer=mixer, mixer_norm=norm, ffn=mlp(c, bias=True), ffn_norm=None, residual=join)
    head = LmHead(tied=c.tie_word_embeddings, bias=True)
    whole = decoder(c, [block] * c.num_hidden_layers, norm, head=head)
    return replace(whole, embed=replace(whole.embed, dropout=c.embd_pdrop))


def weights(c: PhiConfig) -> WeightTable:
    """Phi's own names."""
    names = {
        "self_attn.dense.{s}": "self_attn.o_proj.{s}",
        "self_attn.q_layernorm.{s}": "self_attn.q_norm.{s}",
        "self_attn.k_layernorm.{s}": "self_attn.k_norm.{s}",
        "mlp.fc1.{s}": "mlp.up_proj.{s}",
        "mlp.fc2.{s}": "mlp.down_proj.{s}",
    }
    layer = "model.layers.{layer}."
    return WeightTable(
        rules=(
            rule("model.final_layernorm.{s}", "model.norm.{s}"),
            *renames(names, disk=layer, memory=layer),
        )
    )


FAMILY = Family(
    model_type="phi",
    config=PhiConfig,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("Phi", "sequence-classification", "token-classification"),
)
