"""OPT: learned positions, ReLU, norms before each part, or after it in the 350M model."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.opt import OPTConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, learned, many_heads, normed_sum, pre_norm
from hf_modeling.spec import DecoderSpec, LayerNorm, Mlp, Sum
from hf_modeling.weights.table import WeightTable, renames


def spec(c: OPTConfig) -> DecoderSpec:
    """The decoder that an OPT config describes."""
    norm = LayerNorm(eps=1e-5, weight="plain" if c.layer_norm_elementwise_affine else "none")
    join = Sum(dropout=c.dropout)
    mixer = many_heads(c, c.attention_dropout, bias=c.enable_bias)
    ffn = Mlp(width=c.ffn_dim, activation=activation(c.activation_function), bias=c.enable_bias)
    parts = (mixer, norm, ffn, norm)
    before = c.do_layer_norm_before
    block = pre_norm(mixer, ffn, norm) if before else normed_sum(*parts)
    joined = replace(block, mixer_residual=join, ffn_residual=join)
    last = norm if before and not c._remove_final_layer_norm else None
    whole = learned(
        decoder(c, [joined] * c.num_hidden_layers, last), c.max_position_embeddings, 0.0, offset=2
    )
    if c.word_embed_proj_dim == c.hidden_size:
        return whole
    dim = c.word_embed_proj_dim
    return replace(whole, embed=replace(whole.embed, dim=dim), output_dim=dim)


def weights(c: OPTConfig) -> WeightTable:
    """OPT's own names; the norm of a layer's second part is its `final_layer_norm`."""
    first, second = "input_layernorm.{s}", "post_attention_layernorm.{s}"
    if not c.do_layer_norm_before:
        first, second = "post_attention_layernorm.{s}", "post_feedforward_layernorm.{s}"
    names = {
        "self_attn_layer_norm.{s}": first,
        "final_layer_norm.{s}": second,
        "self_attn.q_proj.{s}": "self_attn.q_proj.{s}",
        "self_attn.k_proj.{s}": "self_attn.k_proj.{s}",
        "self_attn.v_proj.{s}": "self_attn.v_proj.{s}",
        "self_attn.out_proj.{s}": "self_attn.o_proj.{s}",
        "fc1.{s}": "mlp.up_proj.{s}",
        "fc2.{s}": "mlp.down_proj.{s}",
    }
    outer = {
        "embed_tokens.weight": "embed_tokens.weight",
        "embed_positions.weight": "stem.positions.weight",
        "project_in.weight": "stem.project_in.weight",
        "project_out.weight": "project_out.weight",
        "final_layer_norm.{s}": "norm.{s}",
    }
    return WeightTable(
        prefix="model.",
        rules=(
            *renames(names, disk="model.decoder.layers.{layer}.", memory="model.layers.{layer}."),
            *renames(outer, disk="model.decoder.", memory="model."),
        ),
    )


FAMILY = Family(
    model_type="opt",
    config=OPTConfig,
    spec=spec,
    weights=weights,
    classes=classes("OPT", "sequence-classification", "question-answering"),
)
