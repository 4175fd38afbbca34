"""Mellum: Qwen3-MoE with a mask and a rotation for each kind of layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mellum import MellumConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import by_kind, drafting, expert_rules, mixture, pre_norms, softmax_router
from hf_modeling.families.parts import attention, classes, decoder, each_kind, gated_mlp
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: MellumConfig) -> DecoderSpec:
    """The decoder that a Mellum config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(attention(c, None, c.head_dim, bias=c.attention_bias), qk_norm=QkNorm(norm=norm))
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        softmax_router(renorm=c.norm_topk_prob),
        balance=c.router_aux_loss_coef,
    )
    ffns = by_kind(c.mlp_layer_types, gated_mlp(c), sparse)
    return decoder(c, pre_norms(each_kind(mixer, c), ffns, norm), norm)


def weights(c: MellumConfig) -> WeightTable:
    """One matrix for each expert and projection."""
    return WeightTable(rules=expert_rules())


FAMILY = Family(
    model_type="mellum",
    config=MellumConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("mtp.{rest}"),),
    classes=classes("Mellum"),
)
