"""Llama: pre-norm blocks of grouped-query attention with rotary positions and a gated MLP."""

from __future__ import annotations

from hf_config.families.llama import LlamaConfig
from hf_modeling.families.facts import activation, rope
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ANSWERS_BEGIN
from hf_modeling.spec import Attention, DecoderSpec, Embed, GatedMlp, LmHead, PreNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, drop


def spec(c: LlamaConfig) -> DecoderSpec:
    """The decoder that a Llama config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    attention = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=c.head_dim,
        rope=rope(c.rope_parameters, c.head_dim, c.max_position_embeddings),
        qkv_bias=c.attention_bias,
        output_bias=c.attention_bias,
        dropout=c.attention_dropout,
    )
    mlp = GatedMlp(width=c.intermediate_size, activation=activation(c.hidden_act), bias=c.mlp_bias)
    block = PreNorm(mixer=attention, mixer_norm=norm, ffn=mlp, ffn_norm=norm)
    return DecoderSpec(
        width=c.hidden_size,
        embed=Embed(vocab=c.vocab_size, padding_id=c.pad_token_id),
        blocks=(block,) * c.num_hidden_layers,
        norm=norm,
        head=LmHead(tied=c.tie_word_embeddings),
    )


def weights(c: LlamaConfig) -> WeightTable:
    """Names on disk are the names in memory."""
    return WeightTable()


FAMILY = Family(
    model_type="llama",
    config=LlamaConfig,
    spec=spec,
    weights=weights,
    ignored=(drop("model.layers.{layer}.self_attn.rotary_emb.inv_freq", why="recomputed from the config"),),
    begins=ANSWERS_BEGIN,
    classes={
        "base": "LlamaModel",
        "causal-lm": "LlamaForCausalLM",
        "sequence-classification": "LlamaForSequenceClassification",
        "token-classification": "LlamaForTokenClassification",
        "question-answering": "LlamaForQuestionAnswering",
    },
)
