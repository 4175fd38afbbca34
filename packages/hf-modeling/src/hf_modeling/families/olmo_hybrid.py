"""OLMo Hybrid: gated delta nets behind norms, with OLMo 2's attention in between."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.olmo_hybrid import OlmoHybridConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import ATTENTION, gated_delta, joined_qkv, of_kind
from hf_modeling.families.moe_parts import drafting
from hf_modeling.families.parts import attention, classes, decoder, gated_mlp, post_norm, pre_norm
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, renames

DELTA_EPS = 1e-5  # of the norm behind a delta net: no config carries it


def spec(c: OlmoHybridConfig) -> DecoderSpec:
    """The decoder that an OLMo Hybrid config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    head_dim = c.hidden_size // c.num_attention_heads
    turn = rope(c.rope_parameters, head_dim, c.max_position_embeddings, apply="float32")
    full = replace(attention(c, turn, bias=c.attention_bias), qk_norm=QkNorm(norm=norm, over="width"))
    delta = replace(
        gated_delta(c), norm=RmsNorm(eps=DELTA_EPS), beta_scale=2.0 if c.linear_allow_neg_eigval else 1.0
    )
    linear, other = pre_norm(delta, gated_mlp(c), norm), post_norm(full, gated_mlp(c), norm)
    return decoder(c, (linear if kind == "linear_attention" else other for kind in c.layer_types), norm)


def weights(c: OlmoHybridConfig) -> WeightTable:
    """Norms are named after what follows them in every layer, though they follow it in some."""
    keys = c.linear_num_key_heads * c.linear_key_head_dim
    values = c.linear_num_value_heads * c.linear_value_head_dim
    linear = of_kind(c.layer_types, "linear_attention")
    layer = "model.layers.{layer}."
    norms = {
        "attention_layer_norm.weight": "input_layernorm.weight",
        "feedforward_layer_norm.weight": "post_attention_layernorm.weight",
    }
    parts = {
        "a_proj.weight": "in_proj_a.weight",
        "b_proj.weight": "in_proj_b.weight",
        "g_proj.weight": "in_proj_z.weight",
        "o_proj.weight": "out_proj.weight",
        "o_norm.weight": "norm.weight",
        "A_log": "A_log",
        "dt_bias": "dt_bias",
    }
    return WeightTable(
        rules=(
            *renames(norms, disk=layer, memory=layer),
            *joined_qkv(layer + "linear_attn.", (keys, keys, values), linear),
            *renames(parts, disk=layer + "linear_attn.", memory=ATTENTION, layers=linear),
        )
    )


FAMILY = Family(
    model_type="olmo_hybrid",
    config=OlmoHybridConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("mtp.{rest}"),),
    classes=classes("OlmoHybrid"),
)
