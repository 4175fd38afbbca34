"""GPT BigCode: GPT-2 whose heads may share one key and value."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gpt_bigcode import GPTBigCodeConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import CLASSIFIER, classes, decoder, learned, many_heads, pre_norm
from hf_modeling.spec import DecoderSpec, LayerNorm, Mlp, Sum
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, drop, renames, rule


def spec(c: GPTBigCodeConfig) -> DecoderSpec:
    """The decoder that a GPT BigCode config describes."""
    norm, join = LayerNorm(eps=c.layer_norm_epsilon), Sum(dropout=c.resid_pdrop)
    mixer = replace(many_heads(c, c.attn_pdrop, bias=True), kv_heads=c.num_key_value_heads)
    mixer = mixer if c.scale_attn_weights else replace(mixer, scale=1.0)
    act = activation(c.activation_function)
    ffn = Mlp(width=c.n_inner or 4 * c.hidden_size, activation=act, bias=True)
    block = replace(pre_norm(mixer, ffn, norm), mixer_residual=join, ffn_residual=join)
    whole = decoder(c, [block] * c.num_hidden_layers, norm)
    return learned(whole, c.max_position_embeddings, c.embd_pdrop)


def weights(c: GPTBigCodeConfig) -> WeightTable:
    """GPT-2's names; fused rows go head by head where every head has its own key and value."""
    layer, memory, head_dim = "transformer.h.{layer}.", "model.layers.{layer}.", c.n_embd // c.n_head
    parts = tuple(f"{memory}self_attn.{part}_proj.{{s}}" for part in "qkv")
    by_head = Split((head_dim,) * 3, groups=c.n_head)
    fused = Split((c.n_embd, head_dim, head_dim)) if c.multi_query else by_head
    names = {
        "ln_1.{s}": "input_layernorm.{s}",
        "ln_2.{s}": "post_attention_layernorm.{s}",
        "attn.c_proj.{s}": "self_attn.o_proj.{s}",
        "mlp.c_fc.{s}": "mlp.up_proj.{s}",
        "mlp.c_proj.{s}": "mlp.down_proj.{s}",
    }
    outer = {
        "wte.weight": "embed_tokens.weight",
        "wpe.weight": "stem.positions.weight",
        "ln_f.{s}": "norm.{s}",
    }
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk=layer, memory=memory),
            rule(layer + "attn.c_attn.{s}", parts, fused),
        ),
    )


FAMILY = Family(
    model_type="gpt_bigcode",
    config=GPTBigCodeConfig,
    spec=spec,
    weights=weights,
    ignored=(drop("transformer.h.{layer}.attn.bias", why="the causal mask, not a weight"),),
    begins=CLASSIFIER,
    classes=classes("GPTBigCode", "sequence-classification", "token-classification"),
)
