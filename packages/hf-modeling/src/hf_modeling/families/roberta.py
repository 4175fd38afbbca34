"""RoBERTa: BERT's encoder, positions counted after the padding id's, texts judged by their first token."""

from __future__ import annotations

from hf_config.families.roberta import RobertaConfig
from hf_modeling.families.encoder_names import PLAIN_CLASSIFIER, roberta_weights
from hf_modeling.families.encoder_parts import JUDGES, classes, roberta
from hf_modeling.families.family import Family
from hf_modeling.families.pair_parts import bert_cross
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: RobertaConfig) -> EncoderSpec:
    """The encoder that a RoBERTa config describes. Raises SpecError for one that makes a decoder."""
    return roberta(c, "roberta")


def weights(c: RobertaConfig) -> WeightTable:
    """RoBERTa's names."""
    return roberta_weights(c, "roberta.")


FAMILY = Family(
    model_type="roberta",
    config=RobertaConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    cross=lambda c: bert_cross("roberta."),
    classes=classes("Roberta", "masked-lm", *JUDGES),
)
