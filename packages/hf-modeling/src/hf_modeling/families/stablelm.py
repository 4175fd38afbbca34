"""StableLM: layer norms, a quarter of each head turning, perhaps both parts side by side."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.stablelm import StableLmConfig
from hf_modeling.families.family import Family
from hf_modeling.families.parts import ROTARY, attention, classes, decoder, gated_mlp, one_rope, pre_norm
from hf_modeling.spec import Block, DecoderSpec, LayerNorm, Parallel, QkNorm, Sum
from hf_modeling.weights.ops import Stack
from hf_modeling.weights.table import WeightTable, rule


def spec(c: StableLmConfig) -> DecoderSpec:
    """The decoder that a StableLM config describes."""
    norm, join = LayerNorm(eps=c.layer_norm_eps), Sum(dropout=c.hidden_dropout)
    heads = LayerNorm(eps=c.layer_norm_eps, bias=False)
    mixer = replace(
        attention(c, one_rope(c, c.hidden_size // c.num_attention_heads)),
        qkv_bias=c.use_qkv_bias,
        qk_norm=QkNorm(norm=heads, over="each_head") if c.qk_layernorm else None,
    )
    ffn = gated_mlp(c)
    block: Block = replace(pre_norm(mixer, ffn, norm), ffn_residual=join)
    if c.use_parallel_residual:
        block = Parallel(mixer=mixer, mixer_norm=norm, ffn=ffn, ffn_norm=None)
    return decoder(c, [block] * c.num_hidden_layers, norm)


def weights(c: StableLmConfig) -> WeightTable:
    """Each head's norm is a tensor of its own on disk."""
    layer = "model.layers.{layer}.self_attn."
    return WeightTable(
        rules=tuple(
            rule(f"{layer}{part}_layernorm.norms.{{head}}.weight", f"{layer}{part}_norm.weight", Stack())
            for part in "qk"
        )
    )


FAMILY = Family(
    model_type="stablelm",
    config=StableLmConfig,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("StableLm", "sequence-classification", "token-classification"),
)
