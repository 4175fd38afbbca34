"""GPT-OSS: experts with biases and a clamped gate, attention sinks, windows on every other layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gpt_oss import GptOssConfig
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import MOE
from hf_modeling.families.parts import attention, classes, each_mask, layered, one_rope
from hf_modeling.spec import ChosenSoftmax, ClampedSwiglu, DecoderSpec, GatedExperts, Moe, RmsNorm, Router
from hf_modeling.weights.ops import Deinterleave, Transpose, chain
from hf_modeling.weights.table import WeightTable, rule


def spec(c: GptOssConfig) -> DecoderSpec:
    """The decoder that a GPT-OSS config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps, cast="after_weight")
    mixer = replace(
        attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias), sinks=True, softmax="input"
    )
    sparse = Moe(
        count=c.num_local_experts,
        top_k=c.num_experts_per_tok,
        width=c.intermediate_size,
        router=Router(scores=ChosenSoftmax(), bias=True),
        experts=GatedExperts(activation=ClampedSwiglu(limit=c.swiglu_limit, alpha=c.swiglu_alpha), bias=True),
        balance=c.router_aux_loss_coef,
    )
    return layered(c, each_mask(mixer, c), sparse, norm)


def weights(c: GptOssConfig) -> WeightTable:
    """Experts from input to output; gate and up columns take turns."""
    both, down = MOE + "experts.gate_up_proj", MOE + "experts.down_proj"
    return WeightTable(
        rules=(
            rule(MOE + "router.{s}", MOE + "gate.{s}"),
            rule(both, both, chain(Transpose(), Deinterleave(dim=1))),
            rule(both + "_bias", both + "_bias", Deinterleave(dim=1)),
            rule(down, down, Transpose()),
        ),
        fp32=(
            "model.norm.weight",
            "model.layers.{layer}.input_layernorm.weight",
            "model.layers.{layer}.post_attention_layernorm.weight",
        ),
    )


FAMILY = Family(
    model_type="gpt_oss",
    config=GptOssConfig,
    spec=spec,
    weights=weights,
    classes=classes("GptOss", "sequence-classification", "token-classification"),
)
