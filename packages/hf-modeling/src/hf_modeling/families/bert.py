"""BERT: an encoder of post-norm blocks with learned positions, segments and a pooler."""

from __future__ import annotations

from hf_config.families.bert import BertConfig
from hf_modeling.families.encoder_names import bert_weights
from hf_modeling.families.encoder_parts import JUDGES, bert, classes, refuse_decoder
from hf_modeling.families.family import Family
from hf_modeling.families.pair_parts import bert_cross
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: BertConfig) -> EncoderSpec:
    """The encoder that a BERT config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "bert")
    return bert(c, classifier_dropout=c.classifier_dropout)


def weights(c: BertConfig) -> WeightTable:
    """BERT's own names."""
    return bert_weights(c, "bert.")


FAMILY = Family(
    model_type="bert",
    config=BertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    cross=lambda c: bert_cross("bert."),
    classes=classes("Bert", "masked-lm", "pretraining", "next-sentence", *JUDGES),
)
