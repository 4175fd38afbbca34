"""XLM-RoBERTa: RoBERTa over a hundred languages."""

from __future__ import annotations

from hf_config.families.xlm_roberta import XLMRobertaConfig
from hf_modeling.families.encoder_names import PLAIN_CLASSIFIER, roberta_weights
from hf_modeling.families.encoder_parts import JUDGES, classes, roberta
from hf_modeling.families.family import Family
from hf_modeling.families.pair_parts import bert_cross
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: XLMRobertaConfig) -> EncoderSpec:
    """The encoder that an XLM-RoBERTa config describes. Raises SpecError for one that makes a decoder."""
    return roberta(c, "xlm-roberta")


def weights(c: XLMRobertaConfig) -> WeightTable:
    """RoBERTa's names, prefix and all."""
    return roberta_weights(c, "roberta.")


FAMILY = Family(
    model_type="xlm-roberta",
    config=XLMRobertaConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    cross=lambda c: bert_cross("roberta."),
    classes=classes("XLMRoberta", "masked-lm", *JUDGES),
)
