"""data2vec for text: RoBERTa's encoder under its own prefix."""

from __future__ import annotations

from hf_config.families.data2vec_text import Data2VecTextConfig
from hf_modeling.families.encoder_names import PLAIN_CLASSIFIER, roberta_weights
from hf_modeling.families.encoder_parts import JUDGES, classes, roberta
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: Data2VecTextConfig) -> EncoderSpec:
    """The encoder that a data2vec text config describes. Raises SpecError for one that makes a decoder."""
    return roberta(c, "data2vec-text")


def weights(c: Data2VecTextConfig) -> WeightTable:
    """RoBERTa's names under another prefix."""
    return roberta_weights(c, "data2vec_text.")


FAMILY = Family(
    model_type="data2vec-text",
    config=Data2VecTextConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    begins=PLAIN_CLASSIFIER,
    classes=classes("Data2VecText", "masked-lm", *JUDGES),
)
