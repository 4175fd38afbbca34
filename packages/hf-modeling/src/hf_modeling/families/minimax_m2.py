"""MiniMax-M2: queries and keys normalised over all heads, experts by corrected sigmoids."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.minimax_m2 import MiniMaxM2Config
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import BLOCK, CORRECTION, MOE, expert_rules, mixture
from hf_modeling.families.parts import attention, classes, layered, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm, Router, SigmoidScores, SumRenorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: MiniMaxM2Config) -> DecoderSpec:
    """The decoder that a MiniMax-M2 config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim), qk_norm=QkNorm(norm=norm, over="width")
    )
    sparse = mixture(
        c.num_local_experts,
        c.num_experts_per_tok,
        c.intermediate_size,
        c.hidden_act,
        Router(scores=SigmoidScores(), renorm=SumRenorm(), correction=True),
        balance=c.router_aux_loss_coef,
    )
    return layered(c, [mixer] * c.num_hidden_layers, sparse, norm)


def weights(c: MiniMaxM2Config) -> WeightTable:
    """Mixtral's names, and a correction beside the router."""
    correction = rule(BLOCK + "e_score_correction_bias", CORRECTION)
    gate = rule(BLOCK + "gate.weight", MOE + "gate.weight")
    return WeightTable(rules=(correction, gate, *expert_rules(BLOCK, gate="w1", up="w3", down="w2")))


FAMILY = Family(
    model_type="minimax_m2",
    config=MiniMaxM2Config,
    spec=spec,
    weights=weights,
    classes=classes("MiniMaxM2"),
)
