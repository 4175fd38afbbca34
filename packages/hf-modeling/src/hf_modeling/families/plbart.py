"""PLBART: BART for program code."""

from __future__ import annotations

from hf_config.families.plbart import PLBartConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import POST, class_names, fairseq, fairseq_weights
from hf_modeling.spec import LastTokenFirst, LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: PLBartConfig) -> Seq2SeqSpec:
    """The encoder-decoder that a plbart config describes."""
    positions = LearnedPositions(count=c.max_position_embeddings + 2, offset=2)
    return fairseq(
        c,
        POST,
        positions,
        scaled=c.scale_embedding,
        decoder_input=LastTokenFirst(),
        echo=True,
        sentence_dropout=c.classifier_dropout,
    )


def weights(c: PLBartConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(POST)


FAMILY = Family(
    model_type="plbart",
    config=PLBartConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("PLBart", "sequence-classification"),
)
