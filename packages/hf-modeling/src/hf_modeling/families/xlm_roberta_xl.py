"""XLM-RoBERTa XL: XLM-RoBERTa with norms before each part and one at the end, none on the embeddings."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.xlm_roberta_xl import XLMRobertaXLConfig
from hf_modeling.families.encoder_names import BERT_LAYER, PLAIN_CLASSIFIER, ROBERTA_HEADS, bert_weights
from hf_modeling.families.encoder_parts import JUDGES, attention, classes, pre_norm, roberta
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, LayerNorm
from hf_modeling.weights.table import WeightTable, rule

LAYER = {
    **{name: to for name, to in BERT_LAYER.items() if "LayerNorm" not in name},
    "attention.self_attn_layer_norm.{s}": "input_layernorm.{s}",
    "LayerNorm.{s}": "post_attention_layernorm.{s}",
}


def spec(c: XLMRobertaXLConfig) -> EncoderSpec:
    """The encoder that an XLM-RoBERTa XL config describes. Raises SpecError for one that makes a decoder."""
    whole = roberta(c, "xlm-roberta-xl")
    return replace(
        whole,
        embed=replace(whole.embed, norm=None),
        blocks=(pre_norm(c, attention(c)),) * c.num_hidden_layers,
        norm=LayerNorm(eps=c.layer_norm_eps),
    )


def weights(c: XLMRobertaXLConfig) -> WeightTable:
    """RoBERTa's names, prefix and all, but for the norms."""
    last = rule("roberta.encoder.LayerNorm.{s}", "model.norm.{s}")
    return bert_weights(c, "roberta.", last, heads=ROBERTA_HEADS, layer=LAYER, logits="lm_head.")


FAMILY = Family(
    model_type="xlm-roberta-xl",
    config=XLMRobertaXLConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("XLMRobertaXL", "masked-lm", *JUDGES),
)
