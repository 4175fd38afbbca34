"""Kolibri: a norm around each part, windows, experts by corrected logits."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.kolibri1 import Kolibri1Config
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import CORRECTION, always_on, expert_rules, mixture, shared_rules
from hf_modeling.families.parts import (
    attention,
    classes,
    decoder,
    each_mask,
    one_rope,
    sandwich,
    sliding_turns,
)
from hf_modeling.spec import ChosenSigmoid, DecoderSpec, QkNorm, RmsNorm, Router, SumRenorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: Kolibri1Config) -> DecoderSpec:
    """The decoder that a Kolibri config describes; full layers have no positions."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(attention(c, one_rope(c, c.head_dim), c.head_dim), qk_norm=QkNorm(norm=norm))
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        Router(
            scores=ChosenSigmoid(),
            renorm=SumRenorm() if c.norm_topk_prob else None,
            correction=True,
            precision="float32",
        ),
        shared=always_on(c.shared_expert_intermediate_size, c.hidden_act),
    )
    return decoder(c, (sandwich(one, sparse, norm) for one in sliding_turns(each_mask(mixer, c), c)), norm)


def weights(c: Kolibri1Config) -> WeightTable:
    """The norm after attention is the one before the experts; those after each part have names of their own."""
    layer = "model.layers.{layer}."
    names = {
        "post_attn_norm.weight": "post_attention_layernorm.weight",
        "post_attention_layernorm.weight": "pre_feedforward_layernorm.weight",
        "post_ffn_norm.weight": "post_feedforward_layernorm.weight",
        "moe.router.expert_bias": "mlp.gate.e_score_correction_bias",
    }
    rules = (*renames(names, disk=layer, memory=layer), *expert_rules(), *shared_rules())
    return WeightTable(rules=rules, fp32=(CORRECTION,))


FAMILY = Family(
    model_type="kolibri1",
    config=Kolibri1Config,
    spec=spec,
    weights=weights,
    classes=classes("Kolibri1"),
)
