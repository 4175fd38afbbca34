"""Phi-3.5-MoE: layer norms, and two experts chosen by the sparse mixer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.phimoe import PhimoeConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import BLOCK, MOE, expert_rules, head_size, mixture
from hf_modeling.families.parts import attention, classes, decoder, one_rope, pre_norm, window
from hf_modeling.spec import DecoderSpec, LayerNorm, LmHead, Router, SparseMixer
from hf_modeling.weights.table import WeightTable, rule


def spec(c: PhimoeConfig) -> DecoderSpec:
    """The decoder that a Phi-3.5-MoE config describes."""
    norm, head_dim = LayerNorm(eps=c.rms_norm_eps), head_size(c)
    mixer = replace(
        attention(c, one_rope(c, head_dim), head_dim, bias=c.attention_bias), mask=window(c.sliding_window)
    )
    sparse = mixture(
        c.num_local_experts,
        c.num_experts_per_tok,
        c.intermediate_size,
        c.hidden_act,
        Router(scores=SparseMixer(jitter=c.router_jitter_noise)),
        balance=c.router_aux_loss_coef,
    )
    head = LmHead(tied=c.tie_word_embeddings, bias=c.lm_head_bias)
    return decoder(c, [pre_norm(mixer, sparse, norm)] * c.num_hidden_layers, norm, head=head)


def weights(c: PhimoeConfig) -> WeightTable:
    """Mixtral's names."""
    gate = rule(BLOCK + "gate.weight", MOE + "gate.weight")
    return WeightTable(rules=(gate, *expert_rules(BLOCK, gate="w1", up="w3", down="w2")))


FAMILY = Family(
    model_type="phimoe",
    config=PhimoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("Phimoe", "sequence-classification"),
)
