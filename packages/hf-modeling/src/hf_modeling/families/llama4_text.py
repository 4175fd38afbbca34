"""Llama 4 text: chunks, layers without positions, experts that weigh their input."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.llama4_text import Llama4TextConfig
from hf_modeling.families.facts import activation, rope
from hf_modeling.families.family import Family
from hf_modeling.families.moe_parts import MOE, always_on, mixture, pre_norms, shared_rules
from hf_modeling.families.parts import attention, decoder
from hf_modeling.spec import (
    Causal,
    ChosenSigmoid,
    Chunk,
    DecoderSpec,
    FloorLogScale,
    GatedMlp,
    MaskRule,
    QkNorm,
    RmsNorm,
    Router,
)
from hf_modeling.weights.ops import Transpose
from hf_modeling.weights.table import WeightTable, rule


def spec(c: Llama4TextConfig) -> DecoderSpec:
    """The decoder that a Llama 4 text config describes."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    turn = rope(
        c.rope_parameters, c.head_dim, c.max_position_embeddings, layout="interleaved", apply="float32"
    )
    mixer = replace(attention(c, None, c.head_dim, bias=c.attention_bias), softmax="input")
    turned = replace(mixer, rope=turn)
    if c.use_qk_norm:
        turned = replace(turned, qk_norm=QkNorm(norm=replace(norm, weight="none"), place="after_rope"))
    still = mixer
    if c.attn_temperature_tuning:
        scale = FloorLogScale(beta=c.attn_scale, period=c.floor_scale, shift=1)
        still = replace(mixer, position_scale=scale)
    mixers = [
        replace(turned if turns else still, mask=chunk(c, kind))
        for turns, kind in zip(c.no_rope_layers, c.layer_types, strict=True)
    ]
    sparse = mixture(
        c.num_local_experts,
        c.num_experts_per_tok,
        c.intermediate_size,
        c.hidden_act,
        Router(scores=ChosenSigmoid()),
        shared=always_on(c.intermediate_size, c.hidden_act),
        balance=c.router_aux_loss_coef,
    )
    dense = GatedMlp(width=c.intermediate_size_mlp, activation=activation(c.hidden_act))
    weighted = replace(sparse, weight_on="input")
    ffns = [weighted if layer in c.moe_layers else dense for layer in range(c.num_hidden_layers)]
    return decoder(c, pre_norms(mixers, ffns, norm), norm)


def chunk(c: Llama4TextConfig, kind: str) -> MaskRule:
    """What a layer of that kind may see."""
    if kind == "chunked_attention" and c.attention_chunk_size is not None:
        return Chunk(size=c.attention_chunk_size)
    return Causal()


def weights(c: Llama4TextConfig) -> WeightTable:
    """Experts from input to output, all in one tensor."""
    disk = "model.layers.{layer}.feed_forward."
    return WeightTable(
        rules=(
            rule(disk + "router.weight", MOE + "gate.weight"),
            rule(disk + "experts.gate_up_proj", MOE + "experts.gate_up_proj", Transpose()),
            rule(disk + "experts.down_proj", MOE + "experts.down_proj", Transpose()),
            *shared_rules(disk + "shared_expert."),
            rule(disk + "{rest}", MOE + "{rest}"),
        )
    )


FAMILY = Family(
    model_type="llama4_text",
    config=Llama4TextConfig,
    spec=spec,
    weights=weights,
    classes={"base": "Llama4TextModel", "causal-lm": "Llama4ForCausalLM"},
)
