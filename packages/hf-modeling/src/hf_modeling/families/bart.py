"""BART: learned positions two rows down, norms after each branch and after the embeddings."""

from __future__ import annotations

from hf_config.families.bart import BartConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import POST, class_names, fairseq, fairseq_weights
from hf_modeling.spec import LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: BartConfig) -> Seq2SeqSpec:
    """The encoder-decoder that a BART config describes."""
    positions = LearnedPositions(count=c.max_position_embeddings + 2, offset=2)
    return fairseq(
        c, POST, positions, scaled=c.scale_embedding, echo=True, sentence_dropout=c.classifier_dropout
    )


def weights(c: BartConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(POST)


FAMILY = Family(
    model_type="bart",
    config=BartConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("Bart", "sequence-classification", "question-answering"),
)
