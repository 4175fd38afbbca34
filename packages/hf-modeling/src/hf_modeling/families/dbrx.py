"""DBRX: clipped projections, experts weighted by a norm of the chosen."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.dbrx import DbrxConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import MOE, mixture
from hf_modeling.families.parts import classes, decoder, one_rope, pre_norm
from hf_modeling.spec import Attention, DecoderSpec, LayerNorm, PowerRenorm, Router, SoftmaxScores, Sum
from hf_modeling.weights.ops import Reshape, Split, Transpose, chain, concat
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: DbrxConfig) -> DecoderSpec:
    """The decoder that a DBRX config describes."""
    norm, join = LayerNorm(eps=1e-5, bias=False), Sum(dropout=c.resid_pdrop)
    head_dim = c.d_model // c.n_heads
    mixer = Attention(
        heads=c.n_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=head_dim,
        rope=one_rope(c, head_dim),
        clip=c.attn_config.clip_qkv,
        dropout=c.attn_config.attn_pdrop,
    )
    ffn = c.ffn_config
    power = ffn.moe_normalize_expert_weights
    sparse = mixture(
        ffn.moe_num_experts,
        ffn.moe_top_k,
        ffn.ffn_hidden_size,
        str(ffn.ffn_act_fn["name"]),
        Router(scores=SoftmaxScores(), renorm=None if power is None else PowerRenorm(p=power)),
        balance=ffn.moe_loss_weight,
    )
    block = replace(pre_norm(mixer, sparse, norm), mixer_residual=join, ffn_residual=join)
    whole = decoder(c, [block] * c.n_layers, norm)
    return replace(whole, embed=replace(whole.embed, dropout=c.emb_pdrop))


def weights(c: DbrxConfig) -> WeightTable:
    """One matrix for each projection: w1 is the gate, v1 up, w2 down, rows going expert by expert."""
    layer, memory = "transformer.blocks.{layer}.", "model.layers.{layer}."
    head_dim, ffn = c.d_model // c.n_heads, c.ffn_config
    E, F, D = ffn.moe_num_experts, ffn.ffn_hidden_size, c.d_model
    parts = tuple(f"{memory}self_attn.{part}_proj.weight" for part in "qkv")
    fused = Split((D, c.num_key_value_heads * head_dim, c.num_key_value_heads * head_dim))
    by_expert, disk = Reshape((E * F, D), (E, F, D)), layer + "ffn.experts.mlp."
    names = {
        "norm_attn_norm.norm_1.weight": "input_layernorm.weight",
        "norm_attn_norm.norm_2.weight": "post_attention_layernorm.weight",
        "norm_attn_norm.attn.out_proj.weight": "self_attn.o_proj.weight",
        "ffn.router.layer.weight": "mlp.gate.weight",
    }
    outer = {"wte.weight": "embed_tokens.weight", "norm_f.weight": "norm.weight"}
    both = chain(by_expert, concat((F, F), dim=1))
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames(outer, disk="transformer.", memory="model."),
            *renames(names, disk=layer, memory=memory),
            rule(layer + "norm_attn_norm.attn.Wqkv.weight", parts, fused),
            rule((disk + "w1", disk + "v1"), MOE + "experts.gate_up_proj", both),
            rule(disk + "w2", MOE + "experts.down_proj", chain(by_expert, Transpose())),
        ),
    )


FAMILY = Family(
    model_type="dbrx",
    config=DbrxConfig,
    spec=spec,
    weights=weights,
    classes=classes("Dbrx"),
)
