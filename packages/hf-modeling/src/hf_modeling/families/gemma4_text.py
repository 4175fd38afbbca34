"""Gemma 4 text: also an embedding for each layer, and experts beside the dense network."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.gemma4_text import Gemma4TextConfig
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.families.gemma4_parts import (
    borrowed_keys,
    gemma4_decoder,
    gemma4_mixers,
    gemma4_mlps,
    gemma4_norm,
)
from hf_modeling.families.moe_parts import mixture
from hf_modeling.families.parts import sandwich
from hf_modeling.spec import (
    DecoderSpec,
    DualFfn,
    GatedMlp,
    PerLayerEmbedding,
    PerLayerInput,
    Router,
    RouterInput,
    ScaledSandwich,
    SoftmaxScores,
    SumRenorm,
)
from hf_modeling.weights.table import WeightTable, renames


def spec(c: Gemma4TextConfig) -> DecoderSpec:
    """The decoder that a Gemma 4 text config describes."""
    norm, features = gemma4_norm(c), c.hidden_size_per_layer_input
    kind = activation(c.hidden_activation)
    own = PerLayerInput(dim=features, activation=kind, norm=norm) if features else None
    blocks = []
    for mixer, mlp in zip(gemma4_mixers(c), gemma4_mlps(c), strict=True):
        block = sandwich(mixer, mlp, norm)
        if c.enable_moe_block:
            block = replace(block, ffn=with_experts(c, mlp), ffn_norm=None)
        blocks.append(ScaledSandwich(sandwich=block, per_layer=own))
    whole = gemma4_decoder(c, blocks)
    if not features:
        return whole
    per_layer = PerLayerEmbedding(vocab=c.vocab_size_per_layer_input, dim=features, norm=norm)
    return replace(whole, embed=replace(whole.embed, per_layer=per_layer))


def with_experts(c: Gemma4TextConfig, dense: GatedMlp) -> DualFfn:
    """A dense and a sparse network side by side, each between two norms."""
    norm = gemma4_norm(c)
    router = Router(
        scores=SoftmaxScores(),
        renorm=SumRenorm(),
        expert_scale=True,
        input=RouterInput(norm=replace(norm, weight="none"), multiplier=c.hidden_size**-0.5),
    )
    counts = (c.num_experts or 0, c.top_k_experts or 0, c.moe_intermediate_size or 0)
    return DualFfn(
        dense=dense,
        dense_norm=norm,
        dense_output_norm=norm,
        sparse=mixture(*counts, c.hidden_activation, router),
        sparse_norm=norm,
        sparse_output_norm=norm,
    )


def weights(c: Gemma4TextConfig) -> WeightTable:
    """Everything lies side by side in the layer on disk."""
    layer, mlp = "model.layers.{layer}.", "model.layers.{layer}.mlp."
    outer = {
        "embed_tokens_per_layer.weight": "embed_per_layer.embed.weight",
        "per_layer_model_projection.weight": "embed_per_layer.projection.weight",
        "per_layer_projection_norm.weight": "embed_per_layer.norm.weight",
    }
    own = {
        "per_layer_input_gate.weight": "per_layer_input.gate.weight",
        "per_layer_projection.weight": "per_layer_input.projection.weight",
        "post_per_layer_input_norm.weight": "per_layer_input.norm.weight",
    }
    dual = {
        "mlp.{rest}": "dense.{rest}",
        "pre_feedforward_layernorm.weight": "dense_norm.weight",
        "post_feedforward_layernorm_1.weight": "dense_output_norm.weight",
        "pre_feedforward_layernorm_2.weight": "sparse_norm.weight",
        "post_feedforward_layernorm_2.weight": "sparse_output_norm.weight",
        "router.proj.weight": "sparse.gate.weight",
        "router.scale": "sparse.gate.input.scale",
        "router.per_expert_scale": "sparse.gate.per_expert_scale",
        "experts.{rest}": "sparse.experts.{rest}",
    }
    return WeightTable(
        rules=(
            borrowed_keys(c),
            *renames(outer, disk="model.", memory="model."),
            *renames(own, disk=layer, memory=layer),
            *(renames(dual, disk=layer, memory=mlp) if c.enable_moe_block else ()),
        )
    )


FAMILY = Family(
    model_type="gemma4_text",
    config=Gemma4TextConfig,
    spec=spec,
    weights=weights,
    classes={"base": "Gemma4TextModel", "causal-lm": "Gemma4ForCausalLM"},
)
