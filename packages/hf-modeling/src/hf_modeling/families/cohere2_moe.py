"""Cohere 2 MoE: Cohere 2 with experts after some dense layers."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.cohere2_moe import Cohere2MoeConfig
from hf_modeling.families.facts import activation, rope
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import always_on, by_kind, expert_rules, mixture, shared_rules
from hf_modeling.families.parts import attention, classes, decoder, each_mask, sliding_turns
from hf_modeling.spec import (
    ChosenSigmoid,
    ChosenSoftmax,
    DecoderSpec,
    GatedMlp,
    LayerNorm,
    LmHead,
    Moe,
    Norm,
    Parallel,
    RmsNorm,
    Router,
    SumRenorm,
)
from hf_modeling.weights.table import WeightTable


def spec(c: Cohere2MoeConfig) -> DecoderSpec:
    """The decoder that such a config describes: full layers have no positions, unless they are dense."""
    norm: Norm = LayerNorm(eps=c.layer_norm_eps, bias=False)
    if c.rms_norm_eps is not None:
        norm = RmsNorm(eps=c.rms_norm_eps)
    limit = c.max_position_embeddings
    turn = rope(c.rope_parameters, c.head_dim, limit, layout="interleaved", apply="float32")
    mixer = attention(c, turn, c.head_dim, bias=c.attention_bias)
    dense_turns = c.prefix_dense_sliding_window_pattern == 1
    mixers = (
        replace(one, rope=turn if kind == "dense" and dense_turns else one.rope)
        for one, kind in zip(sliding_turns(each_mask(mixer, c), c), c.mlp_layer_types, strict=True)
    )
    width = (
        c.intermediate_size if c.prefix_dense_intermediate_size is None else c.prefix_dense_intermediate_size
    )
    dense = GatedMlp(width=width, activation=activation(c.hidden_act))
    ffns = by_kind(c.mlp_layer_types, dense, experts(c))
    blocks = (
        Parallel(mixer=one, mixer_norm=norm, ffn=ffn, ffn_norm=None)
        for one, ffn in zip(mixers, ffns, strict=True)
    )
    return decoder(c, blocks, norm, head=LmHead(tied=c.tie_word_embeddings, scale=c.logit_scale))


def experts(c: Cohere2MoeConfig) -> Moe:
    """Experts chosen by logit, weighted by sigmoid or softmax; the shared one may be averaged with them."""
    router = Router(scores=ChosenSoftmax())
    if c.expert_selection_fn == "sigmoid":
        router = Router(scores=ChosenSigmoid(), renorm=SumRenorm() if c.norm_topk_prob else None)
    shared = always_on(c.intermediate_size * c.num_shared_experts, c.hidden_act)
    if shared is not None:
        shared = replace(shared, combine=c.shared_expert_combination_strategy)
    counts = (c.num_experts, c.num_experts_per_tok, c.intermediate_size)
    return mixture(*counts, c.hidden_act, router, shared=shared)


def weights(c: Cohere2MoeConfig) -> WeightTable:
    """One matrix for each expert and projection, the shared experts as one."""
    return WeightTable(rules=(*expert_rules(), *shared_rules()))


FAMILY = Family(
    model_type="cohere2_moe",
    config=Cohere2MoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("Cohere2Moe"),
)
