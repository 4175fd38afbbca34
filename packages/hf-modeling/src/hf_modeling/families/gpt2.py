"""GPT-2: learned positions, layer norms, biases everywhere, matrices stored transposed."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gpt2 import GPT2Config
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import CLASSIFIER, decoder, learned, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, LayerNorm, Mlp, Sum
from hf_modeling.weights.ops import Chain, Split, Transpose
from hf_modeling.weights.table import Rule, WeightTable, drop, renames, rule


def spec(c: GPT2Config) -> DecoderSpec:
    """The decoder that a GPT-2 config describes; scores of layer i may be divided by i + 1."""
    norm, head_dim = LayerNorm(eps=c.layer_norm_epsilon), c.hidden_size // c.num_attention_heads
    mixer = many_heads(c, c.attn_pdrop, bias=True)
    scale = head_dim**-0.5 if c.scale_attn_weights else 1.0
    ffn = Mlp(width=c.n_inner or 4 * c.hidden_size, activation=activation(c.activation_function), bias=True)
    join = Sum(dropout=c.resid_pdrop)
    blocks = (
        replace(
            pre_norm(
                replace(mixer, scale=scale / (i + 1 if c.scale_attn_by_inverse_layer_idx else 1)), ffn, norm
            ),
            mixer_residual=join,
            ffn_residual=join,
        )
        for i in range(c.num_hidden_layers)
    )
    return learned(decoder(c, blocks, norm), c.max_position_embeddings, c.embd_pdrop)


def weights(c: GPT2Config) -> WeightTable:
    """Projections are stored [in, out]; queries, keys and values are one of them."""
    layer, memory, width = "transformer.h.{layer}.", "model.layers.{layer}.", c.hidden_size
    parts = tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames({"wte.weight": "embed_tokens.weight"}, disk="transformer.", memory="model."),
            *renames({"wpe.weight": "stem.positions.weight"}, disk="transformer.", memory="model."),
            *renames({"ln_f.{s}": "norm.{s}"}, disk="transformer.", memory="model."),
            *renames({"ln_1.{s}": "input_layernorm.{s}"}, disk=layer, memory=memory),
            *renames({"ln_2.{s}": "post_attention_layernorm.{s}"}, disk=layer, memory=memory),
            rule(layer + "attn.c_attn.{s}", parts, Chain((Transpose(), Split((width,) * 3)))),
            rule(layer + "attn.c_proj.{s}", memory + "self_attn.o_proj.{s}", Transpose()),
            rule(layer + "mlp.c_fc.{s}", memory + "mlp.up_proj.{s}", Transpose()),
            rule(layer + "mlp.c_proj.{s}", memory + "mlp.down_proj.{s}", Transpose()),
        ),
    )


def cross(c: GPT2Config) -> tuple[Rule, ...]:
    """Where the attention to an encoder lies: keys and values are one projection."""
    layer, memory, width = "transformer.h.{layer}.", "model.layers.{layer}.", c.hidden_size
    disk, parts = layer + "crossattention.", tuple(f"{memory}cross_attn.{part}_proj.{{s}}" for part in "kv")
    return (
        rule(disk + "c_attn.{s}", parts, Chain((Transpose(), Split((width,) * 2)))),
        rule(disk + "q_attn.{s}", memory + "cross_attn.q_proj.{s}", Transpose()),
        rule(disk + "c_proj.{s}", memory + "cross_attn.o_proj.{s}", Transpose()),
        rule(layer + "ln_cross_attn.{s}", memory + "cross_attention_layernorm.{s}"),
    )


FAMILY = Family(
    model_type="gpt2",
    config=GPT2Config,
    spec=spec,
    weights=weights,
    ignored=(
        drop("transformer.h.{layer}.attn.bias", why="the causal mask, not a weight"),
        drop("transformer.h.{layer}.attn.masked_bias", why="the value of masked scores, not a weight"),
    ),
    begins=CLASSIFIER,
    cross=cross,
    classes={
        "base": "GPT2Model",
        "causal-lm": "GPT2LMHeadModel",
        "sequence-classification": "GPT2ForSequenceClassification",
        "token-classification": "GPT2ForTokenClassification",
        "question-answering": "GPT2ForQuestionAnswering",
    },
)
