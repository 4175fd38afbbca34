"""DeBERTa v2 and v3: distances in buckets by the logarithm, normed, often projected like contents; a convolution."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.deberta_v2 import DebertaV2Config
from hf_modeling.families.deberta_parts import deberta, deberta_weights, mixer, reach
from hf_modeling.families.encoder_parts import JUDGES, classes
from hf_modeling.families.facts import activation
from hf_modeling.families.family import Family
from hf_modeling.spec import Convolved, DistanceTable, EncoderSpec, LayerNorm, NormedSum
from hf_modeling.weights.table import WeightTable, renames

QKV = {
    "query_proj.{s}": "q_proj.{s}",
    "key_proj.{s}": "k_proj.{s}",
    "value_proj.{s}": "v_proj.{s}",
    "pos_key_proj.{s}": "pos_k_proj.{s}",
    "pos_query_proj.{s}": "pos_q_proj.{s}",
}
SHARED = {
    "LayerNorm.{s}": "relative.norm.{s}",
    "conv.conv.{s}": "layers.0.conv.{s}",
    "conv.LayerNorm.{s}": "layers.0.conv_norm.{s}",
}


def spec(c: DebertaV2Config) -> EncoderSpec:
    """The encoder that a DeBERTa v2 or v3 config describes."""
    norm = LayerNorm(eps=c.layer_norm_eps)
    buckets = c.position_buckets if c.position_buckets > 0 else None
    attention = replace(mixer(c), projections="content" if c.share_att_key else "own")
    table = DistanceTable(
        span=buckets or reach(c),
        max_distance=reach(c),
        buckets=buckets,
        norm=norm if "layer_norm" in c.norm_rel_ebd.lower() else None,
    )
    whole = deberta(c, attention, table)
    if c.conv_kernel_size <= 0:
        return whole
    first, *others = whole.blocks
    assert isinstance(first, NormedSum)
    convolved = Convolved(
        mixer=first.mixer,
        mixer_norm=norm,
        ffn=first.ffn,
        ffn_norm=norm,
        mixer_residual=first.mixer_residual,
        ffn_residual=first.ffn_residual,
        kernel=c.conv_kernel_size,
        groups=c.conv_groups,
        activation=activation(c.conv_act),
        conv_norm=norm,
        conv_dropout=c.hidden_dropout_prob,
    )
    return replace(whole, blocks=(convolved, *others))


def weights(c: DebertaV2Config) -> WeightTable:
    """DeBERTa's names."""
    return deberta_weights(c, *renames(SHARED, disk="deberta.encoder.", memory="model."), qkv=QKV)


FAMILY = Family(
    model_type="deberta-v2",
    config=DebertaV2Config,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes("DebertaV2", "masked-lm", *JUDGES),
)
