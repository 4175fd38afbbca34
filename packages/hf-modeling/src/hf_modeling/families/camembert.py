"""CamemBERT: RoBERTa in French."""

from __future__ import annotations

from hf_config.families.camembert import CamembertConfig
from hf_modeling.families.encoder_names import PLAIN_CLASSIFIER, roberta_weights
from hf_modeling.families.encoder_parts import JUDGES, classes, roberta
from hf_modeling.families.family import Family
from hf_modeling.families.pair_parts import bert_cross
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: CamembertConfig) -> EncoderSpec:
    """The encoder that a CamemBERT config describes. Raises SpecError for one that makes a decoder."""
    return roberta(c, "camembert")


def weights(c: CamembertConfig) -> WeightTable:
    """RoBERTa's names, prefix and all."""
    return roberta_weights(c, "roberta.")


FAMILY = Family(
    model_type="camembert",
    config=CamembertConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    cross=lambda c: bert_cross("roberta."),
    classes=classes("Camembert", "masked-lm", *JUDGES),
)
