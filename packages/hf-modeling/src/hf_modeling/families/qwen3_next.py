"""Qwen3-Next: gated delta nets and gated attention, with many small experts."""

from __future__ import annotations

from hf_config.families.qwen3_next import Qwen3NextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import ATTENTION, gated_delta_decoder, gated_delta_rules
from hf_modeling.families.moe_parts import by_step, drafting, gated_shared_moe, gated_shared_rules
from hf_modeling.families.parts import ALL_HEADS, ANSWERS_BEGIN, classes, gated_mlp
from hf_modeling.spec import DecoderSpec
from hf_modeling.weights.ops import Split, chain, concat
from hf_modeling.weights.table import WeightTable, rule


def spec(c: Qwen3NextConfig) -> DecoderSpec:
    """The decoder that a Qwen3-Next config describes."""
    return gated_delta_decoder(c, by_step(c, gated_mlp(c), gated_shared_moe(c, renorm=c.norm_topk_prob)))


def weights(c: Qwen3NextConfig) -> WeightTable:
    """Rows of the fused projections go key head by key head: query, key, values and gates that share it."""
    heads, shared = c.linear_num_key_heads, c.linear_num_value_heads // c.linear_num_key_heads
    key, value = c.linear_key_head_dim, shared * c.linear_value_head_dim
    parts = (key, key, value, value)
    apart = Split(parts, groups=heads)
    qkv = heads * (2 * key + value)
    joined = chain(apart, concat(tuple(heads * part for part in parts)), Split((qkv, heads * value)))
    disk = "model.layers.{layer}.linear_attn."
    return WeightTable(
        rules=(
            rule(
                disk + "in_proj_qkvz.weight",
                (ATTENTION + "in_proj_qkv.weight", ATTENTION + "in_proj_z.weight"),
                joined,
            ),
            rule(
                disk + "in_proj_ba.weight",
                (ATTENTION + "in_proj_b.weight", ATTENTION + "in_proj_a.weight"),
                Split((shared, shared), groups=heads),
            ),
            *gated_delta_rules(c),
            *gated_shared_rules(),
        )
    )


FAMILY = Family(
    model_type="qwen3_next",
    config=Qwen3NextConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("mtp.{rest}"),),
    begins=ANSWERS_BEGIN,
    classes=classes("Qwen3Next", *ALL_HEADS),
)
