"""Beam: gated attention in windows, a mean over depth in place of sums, experts in groups."""

from __future__ import annotations

import math
from dataclasses import replace

from hf_config.families.beam import BeamConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import CORRECTION, MOE, by_kind, expert_rules, grouped_router, mixture
from hf_modeling.families.parts import attention, classes, decoder, each_kind, gated_mlp, sandwich
from hf_modeling.spec import DecoderSpec, ExpLogScale, LmHead, OutputGate, QkNorm, RmsNorm, Weighted
from hf_modeling.weights.table import WeightTable


def spec(c: BeamConfig) -> DecoderSpec:
    """The decoder that a Beam config describes; layers without positions scale queries by theirs."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    mixer = replace(
        attention(c, None, c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        gate=OutputGate(head_bias=True),
    )
    scale = ExpLogScale(beta=0.1, period=2048)
    mixers = (
        replace(one, position_scale=scale if one.rope is None else None)
        for one in each_kind(mixer, c, apply="float32")
    )
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.moe_intermediate_size,
        c.hidden_act,
        grouped_router(c),
    )
    ffns = by_kind(c.mlp_layer_types, gated_mlp(c), sparse)
    blocks = (
        replace(
            sandwich(one, ffn, norm),
            mixer_residual=averaged(2 * layer + 2),
            ffn_residual=averaged(2 * layer + 3),
        )
        for layer, (one, ffn) in enumerate(zip(mixers, ffns, strict=True))
    )
    head = LmHead(tied=c.tie_word_embeddings, softcap=c.final_logit_softcapping)
    return decoder(c, blocks, norm, head=head)


def averaged(count: int) -> Weighted:
    """The `count`-th of the branches (the embedding is the first) joins so that none outweighs another."""
    return Weighted(stream=math.sqrt((count - 1) / count), branch=1 / math.sqrt(count))


def weights(c: BeamConfig) -> WeightTable:
    """One matrix for each expert and projection."""
    return WeightTable(rules=expert_rules(), fp32=(CORRECTION, MOE + "gate.weight"))


FAMILY = Family(
    model_type="beam",
    config=BeamConfig,
    spec=spec,
    weights=weights,
    classes=classes("Beam"),
)
