"""DeepSeek-V2: latent attention, and experts chosen within groups."""

from __future__ import annotations

from hf_config.families.deepseek_v2 import DeepseekV2Config
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import latent, paired
from hf_modeling.families.moe_parts import always_on, dense_first, expert_rules, mixture, shared_rules
from hf_modeling.families.parts import ROTARY, classes, gated_mlp
from hf_modeling.spec import DecoderSpec, Groups, Moe, Router, SoftmaxScores
from hf_modeling.weights.table import WeightTable


def spec(c: DeepseekV2Config) -> DecoderSpec:
    """The decoder that a DeepSeek-V2 config describes."""
    mixers = [latent(c, apply="float32")] * c.num_hidden_layers
    dense = gated_mlp(c, bias=c.mlp_bias)
    return paired(c, mixers, dense_first(c.first_k_dense_replace, c.num_hidden_layers, dense, moe(c)))


def moe(c: DeepseekV2Config) -> Moe:
    """Softmax scores without renormalisation; a group counts by its best expert."""
    groups = None
    if c.topk_method == "group_limited_greedy":
        groups = Groups(count=c.n_group or 1, keep=c.topk_group or 1, score="max")
    router = Router(scores=SoftmaxScores(), groups=groups, scale=c.routed_scaling_factor, precision="float32")
    shared = always_on(c.moe_intermediate_size * c.n_shared_experts, c.hidden_act, bias=c.mlp_bias)
    counts = (c.n_routed_experts, c.num_experts_per_tok or 1, c.moe_intermediate_size)
    return mixture(*counts, c.hidden_act, router, shared=shared)


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
