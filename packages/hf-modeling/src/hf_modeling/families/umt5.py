"""UMT5: mT5 with a bias by distance in every layer."""

from __future__ import annotations

from hf_config.families.umt5 import UMT5Config
from hf_modeling.families.family import Family
from hf_modeling.families.t5_parts import (
    IGNORED,
    WITHOUT_PREFIX,
    class_names,
    t5,
    t5_weights,
    with_own_biases,
)
from hf_modeling.spec import Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: UMT5Config) -> Seq2SeqSpec:
    """The encoder-decoder that a UMT5 config describes."""
    return with_own_biases(t5(c, scaled=True, sentence_dropout=c.classifier_dropout), c)


def weights(c: UMT5Config) -> WeightTable:
    """T5's names."""
    return t5_weights(c, own_biases=True)


FAMILY = Family(
    model_type="umt5",
    config=UMT5Config,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    ignored=IGNORED,
    begins=WITHOUT_PREFIX,
    classes=class_names("UMT5"),
)
