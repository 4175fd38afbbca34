"""A.X K2: latent attention over picked keys, with gates on norms and on what attention gives."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.axk2 import AXK2Config
from hf_modeling.families.family import Family
from hf_modeling.families.latent_parts import INDEX_WEIGHTS, corrected_weights, latent, own_index
from hf_modeling.families.mixer_parts import ATTENTION
from hf_modeling.families.moe_parts import corrected_moe
from hf_modeling.families.parts import ROTARY, classes, decoder, gated_mlp
from hf_modeling.spec import DecoderSpec, GatedRmsNorm, OutputGate, PreNorm, RmsNorm
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, rule


def spec(c: AXK2Config) -> DecoderSpec:
    """The decoder that an A.X K2 config describes; the norm before a dense network has no gate."""
    norm = RmsNorm(eps=c.rms_norm_eps)
    gated = GatedRmsNorm(eps=c.rms_norm_eps, rank=c.gated_norm_rank)
    mixer = replace(latent(c), index=own_index(c, "half"), gate=OutputGate(), raw_queries=True)
    dense = PreNorm(mixer=mixer, mixer_norm=gated, ffn=gated_mlp(c), ffn_norm=norm)
    sparse = replace(dense, ffn=corrected_moe(c, c.n_routed_experts), ffn_norm=gated)
    return decoder(c, (sparse if kind == "sparse" else dense for kind in c.mlp_layer_types), norm)


def weights(c: AXK2Config) -> WeightTable:
    """Each head's query lies before its gate."""
    table = corrected_weights(c.num_hidden_layers, fp32=(INDEX_WEIGHTS,))
    both = (ATTENTION + "q_b_proj.weight", ATTENTION + "gate_proj.weight")
    parts = Split((c.qk_head_dim, c.v_head_dim), groups=c.num_attention_heads)
    layer = "model.layers.{layer}."
    gates = (
        rule(f"{layer}{norm}.W_{part}.weight", f"{layer}{norm}.{part}_proj.weight")
        for norm in ("input_layernorm", "post_attention_layernorm")
        for part in ("down", "up")
    )
    return replace(table, rules=(rule(ATTENTION + "q_b_proj.weight", both, parts), *gates, *table.rules))


FAMILY = Family(
    model_type="axk2",
    config=AXK2Config,
    spec=spec,
    weights=weights,
    ignored=(ROTARY,),
    classes=classes("AXK2", "sequence-classification", "token-classification"),
)
