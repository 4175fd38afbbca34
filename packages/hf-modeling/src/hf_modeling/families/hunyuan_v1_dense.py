"""HunYuan dense: Llama whose heads are normalised after they are turned."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.hunyuan_v1_dense import HunYuanDenseV1Config
from hf_modeling.families.family import Family
from hf_modeling.families.parts import attention, classes, gated_mlp, layered, one_rope
from hf_modeling.spec import DecoderSpec, QkNorm, RmsNorm
from hf_modeling.weights.table import WeightTable, renames


def spec(c: HunYuanDenseV1Config) -> DecoderSpec:
    """The decoder that a HunYuan dense config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = attention(c, one_rope(c, c.head_dim), c.head_dim, bias=c.attention_bias)
    mixer = replace(mixer, qk_norm=QkNorm(norm=norm, place="after_rope"))
    return layered(c, [mixer] * c.num_hidden_layers, gated_mlp(c), norm)


def weights(c: HunYuanDenseV1Config) -> WeightTable:
    """Norms of heads are spelled out."""
    names = {"query_layernorm.weight": "q_norm.weight", "key_layernorm.weight": "k_norm.weight"}
    layer = "model.layers.{layer}.self_attn."
    return WeightTable(rules=renames(names, disk=layer, memory=layer))


FAMILY = Family(
    model_type="hunyuan_v1_dense",
    config=HunYuanDenseV1Config,
    spec=spec,
    weights=weights,
    classes=classes("HunYuanDenseV1", "sequence-classification"),
)
