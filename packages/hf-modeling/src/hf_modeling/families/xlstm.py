"""xLSTM: matrix memories with capped exponential gates."""

from __future__ import annotations

import math

from hf_config.families.xlstm import xLSTMConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.family import Family
from hf_modeling.families.parts import classes, decoder, pre_norm
from hf_modeling.spec import DecoderSpec, GatedMlp, LmHead, Mlstm, RmsNorm
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import Rule, WeightTable, renames, rule


def spec(c: xLSTMConfig) -> DecoderSpec:
    """The decoder that an xLSTM config describes.

    Memories are computed in float32, whatever `autocast_kernel_dtype` says; the last norm is there whatever
    `add_out_norm` says.

    Raises:
        SpecError: norms with biases, which no released model has.
    """
    if c.use_bias:
        raise SpecError("xLSTM with use_bias has norms with biases", fix="use a checkpoint without them")
    norm = RmsNorm(eps=c.norm_eps)
    mixer = Mlstm(
        heads=c.num_heads,
        key_dim=int(c.hidden_size * c.qk_dim_factor) // c.num_heads,
        value_dim=int(c.hidden_size * c.v_dim_factor) // c.num_heads,
        norm_eps=c.norm_eps,
        eps=c.eps,
        gate_cap=c.gate_soft_cap,
    )
    ffn = GatedMlp(width=inner_width(c), activation="silu")
    head = LmHead(tied=c.tie_word_embeddings, softcap=c.output_logit_soft_cap)
    return decoder(c, [pre_norm(mixer, ffn, norm)] * c.num_hidden_layers, norm, head=head)


def inner_width(c: xLSTMConfig) -> int:
    """The inner width of the network, rounded up."""
    multiple = c.ffn_round_up_to_multiple_of
    return math.ceil(c.hidden_size * c.ffn_proj_factor / multiple) * multiple


def weights(c: xLSTMConfig) -> WeightTable:
    """Projections of one input are one tensor or several on disk, as `weight_mode` says."""
    disk, memory, mixer = "backbone.blocks.{layer}.", "model.layers.{layer}.", "mlstm_layer."
    keys, values = int(c.hidden_size * c.qk_dim_factor), int(c.hidden_size * c.v_dim_factor)
    outer = {"embeddings.weight": "embed_tokens.weight", "out_norm.weight": "norm.weight"}
    layer = {
        "norm_mlstm.weight": "input_layernorm.weight",
        "norm_ffn.weight": "post_attention_layernorm.weight",
        "mlstm_layer.multihead_norm.weight": "self_attn.norm_weight",
        "mlstm_layer.{rest}": "self_attn.{rest}",
        "ffn.proj_up_gate.weight": "mlp.gate_proj.weight",
        "ffn.proj_up.weight": "mlp.up_proj.weight",
        "ffn.proj_down.weight": "mlp.down_proj.weight",
    }
    fused = (
        joined(
            mixer + "qkv_opreact", "self_attn.", ("q", "k", "v", "ogate_preact"), (keys, keys, values, values)
        ),
        joined(mixer + "ifgate_preact", "self_attn.", ("igate_preact", "fgate_preact"), (c.num_heads,) * 2),
        joined("ffn.proj_up_gate_z", "mlp.", ("gate_proj", "up_proj"), (inner_width(c),) * 2),
    )
    return WeightTable(
        prefix="backbone.",
        rules=(
            *(fused if c.weight_mode == "fused" else ()),
            *renames(outer, disk="backbone.", memory="model."),
            *renames(layer, disk=disk, memory=memory),
        ),
    )


def joined(disk: str, memory: str, parts: tuple[str, ...], sizes: tuple[int, ...]) -> Rule:
    """One tensor on disk, its rows several in memory."""
    names = tuple(f"model.layers.{{layer}}.{memory}{part}.{{s}}" for part in parts)
    return rule(f"backbone.blocks.{{layer}}.{disk}.{{s}}", names, Split(sizes))


FAMILY = Family(
    model_type="xlstm",
    config=xLSTMConfig,
    spec=spec,
    weights=weights,
    classes=classes("xLSTM"),
)
