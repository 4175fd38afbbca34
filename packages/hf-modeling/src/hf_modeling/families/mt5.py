"""mT5: T5 1.1 over many languages."""

from __future__ import annotations

from hf_config.families.mt5 import MT5Config
from hf_modeling.families.family import Family
from hf_modeling.families.t5_parts import IGNORED, WITHOUT_PREFIX, class_names, t5, t5_weights
from hf_modeling.spec import Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: MT5Config) -> Seq2SeqSpec:
    """The encoder-decoder that an mT5 config describes."""
    return t5(c, scaled=False, sentence_dropout=c.classifier_dropout)


def weights(c: MT5Config) -> WeightTable:
    """T5's names."""
    return t5_weights(c)


FAMILY = Family(
    model_type="mt5",
    config=MT5Config,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    ignored=IGNORED,
    begins=WITHOUT_PREFIX,
    classes=class_names("MT5"),
)
