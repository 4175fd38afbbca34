"""DeepSeek-V2: latent attention, and experts chosen within groups."""

from __future__ import annotations

from hf_config.families.deepseek_v2 import DeepseekV2Config
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import dense_and_sparse, dense_first, latent
from hf_modeling.families.moe_parts import expert_rules, shared_rules
from hf_modeling.families.parts import ROTARY, classes, gated_mlp
from hf_modeling.spec import DecoderSpec, GatedExperts, Groups, Moe, Router, SharedExpert, SoftmaxScores
from hf_modeling.weights.table import WeightTable


def spec(c: DeepseekV2Config) -> DecoderSpec:
    """The decoder that a DeepSeek-V2 config describes."""
    mixer = latent(c, apply="float32")
    kinds = dense_first(c.num_hidden_layers, c.first_k_dense_replace)
    return dense_and_sparse(c, [mixer] * c.num_hidden_layers, moe(c), kinds, gated_mlp(c, bias=c.mlp_bias))


def moe(c: DeepseekV2Config) -> Moe:
    """Softmax scores without renormalisation; a group counts by its best expert."""
    kind = activation(c.hidden_act)
    groups = None
    if c.topk_method == "group_limited_greedy":
        groups = Groups(count=c.n_group or 1, keep=c.topk_group or 1, score="max")
    return Moe(
        count=c.n_routed_experts,
        top_k=c.num_experts_per_tok or 1,
        width=c.moe_intermediate_size,
        router=Router(
            scores=SoftmaxScores(), groups=groups, scale=c.routed_scaling_factor, precision="float32"
        ),
        experts=GatedExperts(activation=kind),
        shared=SharedExpert(
            width=c.moe_intermediate_size * c.n_shared_experts, activation=kind, bias=c.mlp_bias
        ),
    )


def weights(c: DeepseekV2Config) -> WeightTable:
    """One tensor for each expert and projection."""
    return WeightTable(rules=(*expert_rules(), *shared_rules()))


FAMILY = Family(
    model_type="deepseek_v2",
    config=DeepseekV2Config,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("DeepseekV2", "sequence-classification"),
)
