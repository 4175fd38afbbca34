"""LFM3: short convolutions and gated attention, most of it windowed, between two norms each."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.lfm3 import Lfm3Config
from hf_modeling.families.facts import rope
from hf_modeling.families.family import Family
from hf_modeling.families.mixer_parts import short_conv_rules, w_rules
from hf_modeling.families.parts import attention, classes, decoder, pre_norm, sandwich, window
from hf_modeling.spec import DecoderSpec, GatedMlp, OutputGate, QkNorm, RmsNorm, ShortConv
from hf_modeling.weights.table import WeightTable, renames


def spec(c: Lfm3Config) -> DecoderSpec:
    """The decoder that an LFM3 config describes."""
    norm = RmsNorm(eps=c.norm_eps)
    ffn = GatedMlp(width=c.intermediate_size, activation="silu")
    base = replace(
        attention(c, None, c.head_dim, bias=c.attention_bias),
        qk_norm=QkNorm(norm=norm),
        gate=OutputGate(per="head") if c.use_attention_gate else None,
        output_bias=c.attention_bias,
    )
    kinds = {
        kind: replace(
            base,
            rope=rope(settings, c.head_dim, c.max_position_embeddings, apply="float32"),
            mask=window(c.sliding_window if kind == "sliding_attention" else None),
        )
        for kind, settings in c.rope_parameters.items()
    }
    conv = ShortConv(width=c.conv_L_cache, bias=c.conv_bias)
    mixers = (conv if kind == "conv" else kinds[kind] for kind in c.layer_types)
    wire = sandwich if c.use_sandwich_norm else pre_norm
    return decoder(c, (wire(mixer, ffn, norm) for mixer in mixers), norm)


def weights(c: Lfm3Config) -> WeightTable:
    """A layer's parts under names of their own."""
    layer = "model.layers.{layer}."
    sandwiched = {
        "post_operator_norm.weight": "post_attention_layernorm.weight",
        "ffn_norm.weight": "pre_feedforward_layernorm.weight",
        "post_ffn_norm.weight": "post_feedforward_layernorm.weight",
    }
    norms = renames(sandwiched, disk=layer, memory=layer) if c.use_sandwich_norm else ()
    return WeightTable(rules=(*norms, *short_conv_rules(c), *w_rules()))


FAMILY = Family(
    model_type="lfm3",
    config=Lfm3Config,
    spec=spec,
    weights=weights,
    classes=classes("Lfm3"),
)
