"""Kimi Linear: delta attention with a decay per channel, and latent attention without positions."""

from __future__ import annotations

from hf_config.families.kimi_linear import KimiLinearConfig
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import latent_parts, paired
from hf_modeling.families.mixer_parts import ATTENTION, each_of, joined_qkv, kimi_delta, of_kind
from hf_modeling.families.moe_parts import BLOCK, MOE, by_kind, corrected_moe, expert_rules, shared_rules
from hf_modeling.families.parts import classes, gated_mlp
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.ops import Reshape
from hf_modeling.weights.table import WeightTable, renames, rule


def spec(c: KimiLinearConfig) -> DecoderSpec:
    """The decoder that a Kimi Linear config describes."""
    scale = (c.qk_nope_head_dim + c.qk_rope_head_dim) ** -0.5
    full = latent_parts(c, None, scale)
    delta = kimi_delta(c, rank=c.linear_head_dim)
    ffns = by_kind(c.mlp_layer_types, gated_mlp(c), corrected_moe(c, c.num_local_experts))
    return paired(c, each_of(c, delta, full), ffns)


def weights(c: KimiLinearConfig) -> WeightTable:
    """Each part of a delta layer, and each projection of an expert, in a tensor of its own."""
    linear = of_kind(c.layer_types, "linear_attention")
    low_rank = {
        f"{part}_{step}_proj.weight": f"{part}_proj.{step}_proj.weight" for part in "fg" for step in "ab"
    }
    dense = {f"{part}_proj.weight": f"{part}_proj.weight" for part in ("gate", "up", "down")}
    return WeightTable(
        rules=(
            *joined_qkv(ATTENTION, (c.linear_num_heads * c.linear_head_dim,) * 3, linear),
            *renames(low_rank, disk=ATTENTION, memory=ATTENTION, layers=linear),
            rule(ATTENTION + "A_log", ATTENTION + "A_log", Reshape((1, 1, -1, 1), (-1,)), layers=linear),
            *expert_rules(BLOCK, gate="w1", up="w3", down="w2"),
            *shared_rules(BLOCK + "shared_experts."),
            rule(BLOCK + "gate.{rest}", MOE + "gate.{rest}"),
            *renames(dense, disk=BLOCK, memory=MOE),
        )
    )


FAMILY = Family(
    model_type="kimi_linear",
    config=KimiLinearConfig,
    spec=spec,
    weights=weights,
    classes=classes("KimiLinear"),
)
