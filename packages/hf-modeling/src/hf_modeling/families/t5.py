"""T5: norms before each branch, scores without a scale, distances by buckets, one bias for each stack."""

from __future__ import annotations

from hf_config.families.t5 import T5Config
from hf_modeling.families.family import Family
from hf_modeling.families.t5_parts import IGNORED, WITHOUT_PREFIX, class_names, t5, t5_weights
from hf_modeling.spec import Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: T5Config) -> Seq2SeqSpec:
    """The encoder-decoder that a T5 config describes."""
    return t5(c, scaled=c.scale_decoder_outputs, sentence_dropout=c.classifier_dropout)


def weights(c: T5Config) -> WeightTable:
    """T5's names."""
    return t5_weights(c)


FAMILY = Family(
    model_type="t5",
    config=T5Config,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    ignored=IGNORED,
    begins=WITHOUT_PREFIX,
    classes=class_names("T5"),
)
