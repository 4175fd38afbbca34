"""GPT-J: both parts read one norm, neighbouring features turn, scores in float32."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gptj import GPTJConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, many_heads
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Mlp, Parallel, Rope, Sum
from hf_modeling.weights.table import WeightTable, drop, renames


def spec(c: GPTJConfig) -> DecoderSpec:
    """The decoder that a GPT-J config describes."""
    norm = LayerNorm(eps=c.layer_norm_epsilon)
    turn = Rope(theta=10000.0, dim=c.rotary_dim, layout="interleaved")
    mixer = replace(many_heads(c, c.attn_pdrop, bias=False), rope=turn, scores="float32")
    ffn = Mlp(width=c.n_inner or 4 * c.n_embd, activation=activation(c.activation_function), bias=True)
    join = Sum(dropout=c.resid_pdrop)
    block = Parallel(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=None, residual=join)
    head = LmHead(tied=c.tie_word_embeddings, bias=True)
    whole = decoder(c, [block] * c.num_hidden_layers, norm, head=head)
    return replace(whole, embed=replace(whole.embed, dropout=c.embd_pdrop))


def weights(c: GPTJConfig) -> WeightTable:
    """GPT-J's own names."""
    names = {
        "ln_1.{s}": "input_layernorm.{s}",
        "attn.q_proj.weight": "self_attn.q_proj.weight",
        "attn.k_proj.weight": "self_attn.k_proj.weight",
        "attn.v_proj.weight": "self_attn.v_proj.weight",
        "attn.out_proj.weight": "self_attn.o_proj.weight",
        "mlp.fc_in.{s}": "mlp.up_proj.{s}",
        "mlp.fc_out.{s}": "mlp.down_proj.{s}",
    }
    outer = {"wte.weight": "embed_tokens.weight", "ln_f.{s}": "norm.{s}"}
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk="transformer.h.{layer}.", memory="model.layers.{layer}."),
        ),
    )


FAMILY = Family(
    model_type="gptj",
    config=GPTJConfig,
    spec=spec,
    weights=weights,
    ignored=(
        drop("transformer.h.{layer}.attn.bias", why="the causal mask, not a weight"),
        drop("transformer.h.{layer}.attn.masked_bias", why="the value of masked scores, not a weight"),
    ),
    classes=classes("GPTJ", "sequence-classification", "question-answering"),
)
