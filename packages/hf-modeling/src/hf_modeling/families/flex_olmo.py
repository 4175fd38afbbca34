"""FlexOlmo: OLMo 2 with experts in every layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.flex_olmo import FlexOlmoConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import expert_rules, mixture, softmax_router
from hf_modeling.families.parts import attention, classes, decoder, post_norm
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable


def spec(c: FlexOlmoConfig) -> DecoderSpec:
    """The decoder that a FlexOlmo config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    head_dim = c.hidden_size // c.num_attention_heads
    turn = rope(c.rope_parameters, head_dim, c.max_position_embeddings, apply="float32")
    mixer = replace(attention(c, turn, bias=c.attention_bias), qk_norm=QkNorm(norm=norm, over="width"))
    sparse = mixture(
        c.num_experts,
        c.num_experts_per_tok,
        c.intermediate_size,
        c.hidden_act,
        softmax_router(renorm=c.norm_topk_prob),
        balance=c.router_aux_loss_coef,
    )
    return decoder(c, [post_norm(mixer, sparse, norm)] * c.num_hidden_layers, norm)


def weights(c: FlexOlmoConfig) -> WeightTable:
    """One matrix for each expert and projection."""
    return WeightTable(rules=expert_rules())


FAMILY = Family(
    model_type="flex_olmo",
    config=FlexOlmoConfig,
    spec=spec,
    weights=weights,
    classes=classes("FlexOlmo"),
)
