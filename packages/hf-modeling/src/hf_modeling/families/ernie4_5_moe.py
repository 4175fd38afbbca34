"""ERNIE 4.5 MoE: ERNIE 4.5 with experts chosen by corrected probabilities."""

from __future__ import annotations

from hf_config.families.ernie4_5_moe import Ernie4_5_MoeConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    CORRECTION,
    MOE,
    always_on,
    drafting,
    expert_rules,
    head_size,
    mixture,
    pre_norms,
    shared_rules,
)
from hf_modeling.families.parts import classes, decoder, gated_mlp
from hf_modeling.spec import Attention, DecoderSpec, LmHead, RmsNorm, Router, SoftmaxScores, SumRenorm
from hf_modeling.weights.ops import Reshape
from hf_modeling.weights.table import WeightTable, rule


def spec(c: Ernie4_5_MoeConfig) -> DecoderSpec:
    """The decoder that an ERNIE 4.5 MoE config describes."""
    norm, head_dim = RmsNorm(eps=c.rms_norm_eps), head_size(c)
    turn = rope(c.rope_parameters, head_dim, c.max_position_embeddings, layout="interleaved", apply="float32")
    mixer = Attention(
        heads=c.num_attention_heads,
        kv_heads=c.num_key_value_heads,
        head_dim=head_dim,
        rope=turn,
        qkv_bias=c.use_bias,
        output_bias=c.use_bias,
    )
    router = Router(
        scores=SoftmaxScores(), renorm=SumRenorm(floor=c.moe_norm_min), correction=True, precision="float32"
    )
    sparse = mixture(
        c.moe_num_experts,
        c.moe_k,
        c.moe_intermediate_size,
        c.hidden_act,
        router,
        shared=always_on(c.moe_intermediate_size * c.moe_num_shared_experts, c.hidden_act, bias=c.use_bias),
        balance=c.router_aux_loss_coef,
    )
    dense = gated_mlp(c, bias=c.use_bias)
    ffns = [sparse if is_sparse(c, index) else dense for index in range(c.num_hidden_layers)]
    head = LmHead(tied=c.tie_word_embeddings, bias=c.use_bias)
    return decoder(c, pre_norms([mixer] * len(ffns), ffns, norm), norm, head=head)


def is_sparse(c: Ernie4_5_MoeConfig, layer: int) -> bool:
    """Whether a layer has experts: every so many between the first and the last that may."""
    between = c.moe_layer_start_index <= layer <= c.moe_layer_end_index
    return between and (layer + 1) % c.moe_layer_interval == 0


def weights(c: Ernie4_5_MoeConfig) -> WeightTable:
    """The correction is a row of its own kind."""
    flat = Reshape((1, c.moe_num_experts), (c.moe_num_experts,))
    correction = rule(MOE + "moe_statics.e_score_correction_bias", CORRECTION, flat)
    return WeightTable(
        rules=(correction, *expert_rules(), *shared_rules()), fp32=(CORRECTION, MOE + "gate.weight")
    )


FAMILY = Family(
    model_type="ernie4_5_moe",
    config=Ernie4_5_MoeConfig,
    spec=spec,
    weights=weights,
    ignored=(
        drafting(
            "model.mtp_block.{rest}",
            "model.mtp_emb_norm.{rest}",
            "model.mtp_hidden_norm.{rest}",
            "model.mtp_linear_proj.{rest}",
        ),
    ),
    classes=classes("Ernie4_5_Moe"),
)
