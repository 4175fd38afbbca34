"""DeBERTa: each head's queries, keys and values in one matrix without the keys' biases; every distance by itself."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.deberta import DebertaConfig
from hf_modeling.families.deberta_parts import deberta, deberta_weights, mixer, reach
from hf_modeling.families.encoder_parts import classes
from hf_modeling.families.family import Family
from hf_modeling.spec import DistanceTable, EncoderSpec
from hf_modeling.weights.ops import Split
from hf_modeling.weights.table import WeightTable, rule

QKV = {
    "q_bias": "q_proj.bias",
    "v_bias": "v_proj.bias",
    "pos_proj.weight": "pos_k_proj.weight",
    "pos_q_proj.{s}": "pos_q_proj.{s}",
}


def spec(c: DebertaConfig) -> EncoderSpec:
    """The encoder that a DeBERTa config describes."""
    attention = replace(mixer(c), key_bias=False, distance_key_bias=False)
    return deberta(c, attention, DistanceTable(span=reach(c), max_distance=reach(c)))


def weights(c: DebertaConfig) -> WeightTable:
    """DeBERTa's own names."""
    heads, attention = c.num_attention_heads, "model.layers.{layer}.self_attn."
    fused = rule(
        "deberta.encoder.layer.{layer}.attention.self.in_proj.weight",
        tuple(f"{attention}{part}_proj.weight" for part in "qkv"),
        Split((c.hidden_size // heads,) * 3, groups=heads),
    )
    return deberta_weights(c, fused, qkv=QKV)


FAMILY = Family(
    model_type="deberta",
    config=DebertaConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes(
        "Deberta", "masked-lm", "sequence-classification", "token-classification", "question-answering"
    ),
)
