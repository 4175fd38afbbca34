"""Mixtral: Mistral with a mixture of experts in every layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.mixtral import MixtralConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, decoder, one_rope, pre_norm, window
from hf_modeling.spec import DecoderSpec, GatedExperts, Moe, RmsNorm, Router, SoftmaxScores, SumRenorm
from hf_modeling.weights.ops import Stack
from hf_modeling.weights.table import WeightTable, renames, rule

LAYER, MEMORY = "model.layers.{layer}.block_sparse_moe.", "model.layers.{layer}.mlp."


def spec(c: MixtralConfig) -> DecoderSpec:
    """The decoder that a Mixtral config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = replace(attention(c, one_rope(c, c.head_dim), c.head_dim), mask=window(c.sliding_window))
    moe = Moe(
        count=c.num_local_experts,
        top_k=c.num_experts_per_tok,
        width=c.intermediate_size,
        router=Router(scores=SoftmaxScores(), renorm=SumRenorm()),
        experts=GatedExperts(activation=activation(c.hidden_act)),
        balance=c.router_aux_loss_coef,
    )
    return decoder(c, [pre_norm(mixer, moe, norm)] * c.num_hidden_layers, norm)


def weights(c: MixtralConfig) -> WeightTable:
    """One tensor per expert and projection: w1 is the gate, w3 up, w2 down."""
    gate_up = (LAYER + "experts.{expert}.w1.weight", LAYER + "experts.{expert}.w3.weight")
    return WeightTable(
        rules=(
            *renames({"gate.weight": "gate.weight"}, disk=LAYER, memory=MEMORY),
            rule(gate_up, MEMORY + "experts.gate_up_proj", Stack(names=2)),
            rule(LAYER + "experts.{expert}.w2.weight", MEMORY + "experts.down_proj", Stack()),
        )
    )


FAMILY = Family(
    model_type="mixtral",
    config=MixtralConfig,
    spec=spec,
    weights=weights,
    classes=classes("Mixtral", "sequence-classification", "token-classification", "question-answering"),
)
