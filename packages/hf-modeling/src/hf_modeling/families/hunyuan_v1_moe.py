"""HunYuan MoE: HunYuan dense with experts in every layer."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.hunyuan_v1_moe import HunYuanMoEV1Config
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import (
    MOE,
    always_on,
    expert_rules,
    mixture,
    pre_norms,
    shared_rules,
    softmax_router,
)
from hf_modeling.families.parts import attention, classes, decoder, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: HunYuanMoEV1Config) -> DecoderSpec:
    """The decoder that a HunYuan MoE config describes; numbers of experts may differ from layer to layer."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm, place="after_rope"))
    ffns = [
        mixture(
            of_layer(c.num_experts, layer),
            of_layer(c.moe_topk, layer),
            c.intermediate_size,
            c.hidden_act,
            softmax_router(renorm=True),
            shared=always_on(c.intermediate_size, c.hidden_act),
        )
        for layer in range(c.num_hidden_layers)
    ]
    return decoder(c, pre_norms([mixer] * c.num_hidden_layers, ffns, norm), norm)


def of_layer(count: int | tuple[int, ...], layer: int) -> int:
    """A number given for all layers or for each."""
    return count if isinstance(count, int) else count[layer]


def weights(c: HunYuanMoEV1Config) -> WeightTable:
    """Its own names of the norms of heads, of the router and of the shared expert."""
    layer = "model.layers.{layer}."
    names = {
        "self_attn.query_layernorm.weight": "self_attn.q_norm.weight",
        "self_attn.key_layernorm.weight": "self_attn.k_norm.weight",
        "mlp.gate.wg.weight": "mlp.gate.weight",
    }
    own = renames(names, disk=layer, memory=layer)
    return WeightTable(rules=(*own, *expert_rules(), *shared_rules(MOE + "shared_mlp.")))


FAMILY = Family(
    model_type="hunyuan_v1_moe",
    config=HunYuanMoEV1Config,
    spec=spec,
    weights=weights,
    classes=classes("HunYuanMoEV1", "sequence-classification"),
)
