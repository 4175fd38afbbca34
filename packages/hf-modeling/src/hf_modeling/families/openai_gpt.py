"""GPT: the first one, with norms on the sums and none at the end."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.openai_gpt import OpenAIGPTConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import decoder, learned, many_heads, normed_sum
from hf_modeling.spec import DecoderSpec, LayerNorm, Mlp, PlainActivation, Sum
from hf_modeling.weights.ops import Chain, Split, Transpose
from hf_modeling.weights.table import WeightTable, drop, renames, rule


def spec(c: OpenAIGPTConfig) -> DecoderSpec:
    """The decoder that a GPT config describes; its gelu is the tanh form."""
    norm, join = LayerNorm(eps=c.layer_norm_epsilon), Sum(dropout=c.resid_pdrop)
    act: PlainActivation = "gelu_tanh" if c.afn == "gelu" else activation(c.afn)
    ffn = Mlp(width=4 * c.n_embd, activation=act, bias=True)
    block = normed_sum(many_heads(c, c.attn_pdrop, bias=True), norm, ffn, norm)
    block = replace(block, mixer_residual=join, ffn_residual=join)
    whole = decoder(c, [block] * c.num_hidden_layers, None)
    return learned(whole, c.max_position_embeddings, c.embd_pdrop)


def weights(c: OpenAIGPTConfig) -> WeightTable:
    """Projections are stored [in, out]; queries, keys and values are one of them."""
    layer, memory, width = "transformer.h.{layer}.", "model.layers.{layer}.", c.hidden_size
    parts = tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    norms = {"ln_1.{s}": "post_attention_layernorm.{s}", "ln_2.{s}": "post_feedforward_layernorm.{s}"}
    outer = {"tokens_embed.weight": "embed_tokens.weight", "positions_embed.weight": "stem.positions.weight"}
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(norms, disk=layer, memory=memory),
            rule(layer + "attn.c_attn.{s}", parts, Chain((Transpose(), Split((width,) * 3)))),
            rule(layer + "attn.c_proj.{s}", memory + "self_attn.o_proj.{s}", Transpose()),
            rule(layer + "mlp.c_fc.{s}", memory + "mlp.up_proj.{s}", Transpose()),
            rule(layer + "mlp.c_proj.{s}", memory + "mlp.down_proj.{s}", Transpose()),
        ),
    )


FAMILY = Family(
    model_type="openai-gpt",
    config=OpenAIGPTConfig,
    spec=spec,
    weights=weights,
    ignored=(drop("transformer.h.{layer}.attn.bias", why="the causal mask, not a weight"),),
    classes={
        "base": "OpenAIGPTModel",
        "causal-lm": "OpenAIGPTLMHeadModel",
        "sequence-classification": "OpenAIGPTForSequenceClassification",
    },
)
