"""BERT for generation: the encoder half of pairs that start from BERT, without segments or a pooler."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.bert_generation import BertGenerationConfig
from hf_modeling.families.encoder_names import bert_weights
from hf_modeling.families.encoder_parts import refuse_decoder, without_segments
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec
from hf_modeling.weights.table import WeightTable


def spec(c: BertGenerationConfig) -> EncoderSpec:
    """The encoder that such a config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "bert-generation")
    return replace(without_segments(c), pooler=None)


def weights(c: BertGenerationConfig) -> WeightTable:
    """BERT's names."""
    return bert_weights(c, "bert.")


FAMILY = Family(
    model_type="bert-generation",
    config=BertGenerationConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes={"base": "BertGenerationEncoder"},
)
