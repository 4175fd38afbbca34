"""Flint: attention sinks, windows, scores in float32, experts by sigmoids."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.flint import FlintConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    MOE,
    always_on,
    by_step,
    expert_rules,
    mixture,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_mask,
    gated_mlp,
    one_rope,
    sliding_turns,
)
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm, Router, SigmoidScores, SumRenorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: FlintConfig) -> DecoderSpec:
    """The decoder that a Flint config describes; full layers have no positions."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    mixer = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        sinks=True,
        scores="float32",
    )
    router = Router(
        scores=SigmoidScores(), renorm=SumRenorm() if c.norm_topk_prob else None, precision="float32"
    )
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        router,
        shared=always_on(c.shared_expert_intermediate_size, c.hidden_act),
        balance=c.router_aux_loss_coef,
    )
    mixers = sliding_turns(each_mask(mixer, c), c)
    return decoder(c, pre_norms(mixers, by_step(c, gated_mlp(c), sparse), norm), norm)


def weights(c: FlintConfig) -> WeightTable:
    """Sinks are called an offset of the softmax."""
    layer = "model.layers.{layer}.self_attn."
    sinks = rule(layer + "softmax_offset", layer + "sinks")
    return WeightTable(
        rules=(sinks, *expert_rules(), *shared_rules(MOE + "shared_expert.")),
        fp32=(MOE + "gate.weight", layer + "sinks"),
    )


FAMILY = Family(
    model_type="flint",
    config=FlintConfig,
    spec=spec,
    weights=weights,
    classes=classes("Flint"),
)
