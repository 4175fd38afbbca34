"""RoBERTa with norms before each part and one at the end (efficient MLM, fairseq's preln models)."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.roberta_prelayernorm import RobertaPreLayerNormConfig
from hf_modeling.families.encoder_names import BERT_LAYER, PLAIN_CLASSIFIER, ROBERTA_HEADS, bert_weights
from hf_modeling.families.encoder_parts import JUDGES, attention, classes, pre_norm, roberta
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, LayerNorm
from hf_modeling.weights.table import WeightTable, rule

LAYER = {
    **{name: to for name, to in BERT_LAYER.items() if "LayerNorm" not in name},
    "attention.LayerNorm.{s}": "input_layernorm.{s}",
    "intermediate.LayerNorm.{s}": "post_attention_layernorm.{s}",
}


def spec(c: RobertaPreLayerNormConfig) -> EncoderSpec:
    """The encoder that such a config describes. Raises SpecError for one that makes a decoder."""
    whole = roberta(c, "roberta-prelayernorm")
    return replace(
        whole,
        blocks=(pre_norm(c, attention(c)),) * c.num_hidden_layers,
        norm=LayerNorm(eps=c.layer_norm_eps),
    )


def weights(c: RobertaPreLayerNormConfig) -> WeightTable:
    """RoBERTa's names under the family's prefix, but for the norms."""
    prefix = "roberta_prelayernorm."
    last = rule(prefix + "LayerNorm.{s}", "model.norm.{s}")
    return bert_weights(c, prefix, last, heads=ROBERTA_HEADS, layer=LAYER, logits="lm_head.")


FAMILY = Family(
    model_type="roberta-prelayernorm",
    config=RobertaPreLayerNormConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("RobertaPreLayerNorm", "masked-lm", *JUDGES),
)
