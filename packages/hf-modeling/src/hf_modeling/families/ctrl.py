"""CTRL: fixed sines and cosines for positions, scaled embeddings, ReLU."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.ctrl import CTRLConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import decoder, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, EmbedScale, LayerNorm, LmHead, Mlp, SinusoidPositions, Sum
from hf_modeling.weights.table import WeightTable, renames


def spec(c: CTRLConfig) -> DecoderSpec:
    """The decoder that a CTRL config describes."""
    norm, join = LayerNorm(eps=1e-6), Sum(dropout=c.resid_pdrop)
    mixer = replace(many_heads(c, 0.0, bias=True), softmax="input")
    block = pre_norm(mixer, Mlp(width=c.dff, activation="relu", bias=True), norm)
    block = replace(block, mixer_residual=join, ffn_residual=join)
    scale = EmbedScale(value=math.sqrt(c.n_embd))
    head = LmHead(tied=c.tie_word_embeddings, bias=True)
    whole = decoder(c, [block] * c.num_hidden_layers, norm, scale=scale, head=head)
    positions = SinusoidPositions(range="open")
    return replace(whole, embed=replace(whole.embed, positions=positions, dropout=c.embd_pdrop))


def weights(c: CTRLConfig) -> WeightTable:
    """CTRL's own names."""
    names = {
        "layernorm1.{s}": "input_layernorm.{s}",
        "layernorm2.{s}": "post_attention_layernorm.{s}",
        "multi_head_attention.Wq.{s}": "self_attn.q_proj.{s}",
        "multi_head_attention.Wk.{s}": "self_attn.k_proj.{s}",
        "multi_head_attention.Wv.{s}": "self_attn.v_proj.{s}",
        "multi_head_attention.dense.{s}": "self_attn.o_proj.{s}",
        "ffn.0.{s}": "mlp.up_proj.{s}",
        "ffn.2.{s}": "mlp.down_proj.{s}",
    }
    outer = {"w.weight": "embed_tokens.weight", "layernorm.{s}": "norm.{s}"}
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk="transformer.h.{layer}.", memory="model.layers.{layer}."),
        ),
    )


FAMILY = Family(
    model_type="ctrl",
    config=CTRLConfig,
    spec=spec,
    weights=weights,
    begins={"sequence-classification": {"score.": "classifier."}},
    classes={
        "base": "CTRLModel",
        "causal-lm": "CTRLLMHeadModel",
        "sequence-classification": "CTRLForSequenceClassification",
    },
)
