"""JetMoE: experts in attention too, which share keys and values."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.jetmoe import JetMoeConfig
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import mixture
from hf_modeling.families.parts import classes, layered
from hf_modeling.spec import ChosenSoftmax, DecoderSpec, MixtureOfAttention, RmsNorm, Router
from hf_modeling.weights.table import WeightTable, renames


def spec(c: JetMoeConfig) -> DecoderSpec:
    """The decoder that a JetMoE config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    mixer = MixtureOfAttention(
        count=c.num_local_experts,
        top_k=c.num_experts_per_tok,
        kv_heads=c.num_key_value_heads,
        head_dim=c.kv_channels,
        rope=rope(c.rope_parameters, c.kv_channels, c.max_position_embeddings),
        dropout=c.attention_dropout,
    )
    counts = (c.num_local_experts, c.num_experts_per_tok, c.intermediate_size)
    router = Router(scores=ChosenSoftmax())
    moe = mixture(*counts, c.activation_function, router, balance=c.aux_loss_coef)
    return layered(c, [mixer] * c.num_hidden_layers, replace(moe, output_bias=True), norm)


def weights(c: JetMoeConfig) -> WeightTable:
    """All experts of a layer in one tensor for each projection, in attention too."""
    layer = "model.layers.{layer}."
    names = {
        "self_attention.kv_proj.weight": "self_attn.kv_proj.weight",
        "self_attention.experts.bias": "self_attn.bias",
        "self_attention.experts.input_linear.weight": "self_attn.input_proj",
        "self_attention.experts.output_linear.weight": "self_attn.output_proj",
        "self_attention.experts.router.layer.weight": "self_attn.router.weight",
        "mlp.input_linear.weight": "mlp.experts.gate_up_proj",
        "mlp.output_linear.weight": "mlp.experts.down_proj",
        "mlp.router.layer.weight": "mlp.gate.weight",
    }
    return WeightTable(rules=renames(names, disk=layer, memory=layer))


FAMILY = Family(
    model_type="jetmoe",
    config=JetMoeConfig,
    spec=spec,
    weights=weights,
    classes=classes("JetMoe", "sequence-classification"),
)
