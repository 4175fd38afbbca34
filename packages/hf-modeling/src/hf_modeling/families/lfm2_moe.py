"""LFM2-MoE: LFM2 with experts chosen by corrected scores, after dense layers."""

from __future__ import annotations

from hf_config.families.lfm2_moe import Lfm2MoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import LFM2_HEADS, short_conv_mixers, short_conv_rules, w_rules
from hf_modeling.families.moe_parts import CORRECTION, MOE, dense_first, expert_rules, mixture, pre_norms
from hf_modeling.families.parts import classes, decoder
from hf_modeling.spec import DecoderSpec, GatedMlp, RmsNorm, Router, SigmoidScores, SumRenorm
from hf_modeling.weights.table import WeightTable, rule


def spec(c: Lfm2MoeConfig) -> DecoderSpec:
    """The decoder that an LFM2-MoE config describes."""
    norm = RmsNorm(eps=c.norm_eps)
    dense = GatedMlp(width=c.intermediate_size, activation="silu")
    router = Router(
        scores=SigmoidScores(),
        renorm=SumRenorm(eps=1e-6) if c.norm_topk_prob else None,
        correction=c.use_expert_bias,
        scale=c.routed_scaling_factor,
    )
    sparse = mixture(c.num_experts, c.num_experts_per_tok, c.moe_intermediate_size, "silu", router)
    ffns = dense_first(c.num_dense_layers, c.num_hidden_layers, dense, sparse)
    return decoder(c, pre_norms(short_conv_mixers(c), ffns, norm), norm)


def weights(c: Lfm2MoeConfig) -> WeightTable:
    """w1 is the gate, w3 up, w2 down, of an expert too."""
    disk = "model.layers.{layer}.feed_forward."
    return WeightTable(
        rules=(
            *LFM2_HEADS,
            *short_conv_rules(c),
            *expert_rules(disk, gate="w1", up="w3", down="w2"),
            rule(disk + "expert_bias", CORRECTION),
            rule(disk + "gate.weight", MOE + "gate.weight"),
            *w_rules(),
        )
    )


FAMILY = Family(
    model_type="lfm2_moe",
    config=Lfm2MoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("Lfm2Moe"),
)
