"""MiniMax M3's text model: clamped experts, and attention over blocks of keys that an index picks."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.minimax_m3_vl_text import MiniMaxM3VLTextConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import MOE, by_kind, drafting, pre_norms, shared_rules
from hf_modeling.families.parts import attention, decoder, fused_gate_up, one_rope
from hf_modeling.spec import (
    BlockIndex,
    ClampedSwiglu,
    DecoderSpec,
    GatedExperts,
    GatedMlp,
    Moe,
    QkNorm,
    RmsNorm,
    Router,
    SharedExpert,
    SigmoidScores,
    SumRenorm,
)
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, rule


def spec(c: MiniMaxM3VLTextConfig) -> DecoderSpec:
    """The decoder that a MiniMax M3 text config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, weight="plus_one", cast="after_weight")
    turn = one_rope(c, c.head_dim)
    full = replace(attention(c, turn, c.head_dim), qk_norm=QkNorm(norm=norm))
    index = BlockIndex(
        heads=c.index_n_heads,
        head_dim=c.index_head_dim,
        block=c.index_block_size,
        top_blocks=c.index_topk_blocks,
        local_blocks=c.index_local_blocks,
        norm=norm,
        rope=turn,
    )
    sparse = replace(full, index=index)
    mixers = (sparse if kind == "minimax_m3_sparse" else full for kind in c.layer_types)
    gate = ClampedSwiglu(limit=c.swiglu_limit, alpha=c.swiglu_alpha)
    moe = Moe(
        count=c.num_local_experts,
        top_k=c.num_experts_per_tok,
        width=c.intermediate_size,
        router=Router(
            scores=SigmoidScores(), renorm=SumRenorm(), correction=True, scale=c.routed_scaling_factor
        ),
        experts=GatedExperts(activation=gate),
        shared=SharedExpert(width=c.shared_intermediate_size, activation=gate),
        balance=c.router_aux_loss_coef,
    )
    dense = GatedMlp(width=c.dense_intermediate_size, activation=gate)
    return decoder(c, pre_norms(mixers, by_kind(c.mlp_layer_types, dense, moe), norm), norm)


def weights(c: MiniMaxM3VLTextConfig) -> WeightTable:
    """Gate and up projections in one matrix."""
    shared = tuple(MOE + f"shared_expert.mlp.{part}_proj.weight" for part in ("gate", "up"))
    return WeightTable(
        rules=(
            rule(
                MOE + "shared_experts.gate_up_proj.weight", shared, Split((c.shared_intermediate_size,) * 2)
            ),
            *shared_rules(),
            fused_gate_up(c.dense_intermediate_size),
        )
    )


FAMILY = Family(
    model_type="minimax_m3_vl_text",
    config=MiniMaxM3VLTextConfig,
    spec=spec,
    weights=weights,
    ignored=(drafting("mtp.{rest}"),),
    classes={"base": "MiniMaxM3VLTextModel", "causal-lm": "MiniMaxM3VLForCausalLM"},
)
