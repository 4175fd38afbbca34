"""Ling 2.5 hybrid: delta attention with bounded decays per channel, and gated latent attention."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.bailing_hybrid import BailingHybridConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import corrected_weights, latent_parts, paired, score_scale
from hf_modeling.families.mixer_parts import ATTENTION, each_of, joined_qkv, kimi_delta, of_kind
from hf_modeling.families.moe_parts import CORRECTION, MOE, by_kind, corrected_moe
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec, OutputGate
from hf_modeling.weights.table import WeightTable, rule


def spec(c: BailingHybridConfig) -> DecoderSpec:
    """The decoder that a Ling 2.5 hybrid config describes."""
    turn = rope(c.rope_parameters, c.qk_rope_head_dim, c.max_position_embeddings, layout="interleaved")
    scale = (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5 * score_scale(c.rope_parameters)
    full = replace(latent_parts(c, turn, scale), gate=OutputGate(per="head"))
    delta = replace(kimi_delta(c, rank=None), lowest=c.kda_lower_bound if c.kda_safe_gate else None)
    ffns = by_kind(c.mlp_layer_types, gated_mlp(c), corrected_moe(c, c.num_local_experts))
    return paired(c, each_of(c, delta, full), ffns)


def weights(c: BailingHybridConfig) -> WeightTable:
    """Attention and embeddings have names of their own, and gates of both kinds the same one."""
    linear, full = (of_kind(c.layer_types, kind) for kind in ("linear_attention", "full_attention"))
    disk = "model.layers.{layer}.attention."
    table = corrected_weights(
        c.num_hidden_layers,
        c.num_nextn_predict_layers,
        fp32=(ATTENTION + "A_log", ATTENTION + "dt_bias", ATTENTION + "conv1d.weight"),
    )
    return replace(
        table,
        rules=(
            rule("model.word_embeddings.weight", "model.embed_tokens.weight"),
            *joined_qkv(disk, (c.linear_num_heads * c.linear_head_dim,) * 3, linear),
            rule(disk + "g_proj.weight", ATTENTION + "gate_proj.weight", layers=full),
            rule(disk + "dense.{s}", ATTENTION + "o_proj.{s}"),
            rule(disk + "{rest}", ATTENTION + "{rest}"),
            rule(MOE + "gate.expert_bias", CORRECTION),
            *table.rules,
        ),
    )


FAMILY = Family(
    model_type="bailing_hybrid",
    config=BailingHybridConfig,
    spec=spec,
    weights=weights,
    classes=classes("BailingHybrid"),
)
