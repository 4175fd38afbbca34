"""mBART: BART over many languages, with norms before each branch and at the end of each stack."""

from __future__ import annotations

from hf_config.families.mbart import MBartConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import Wiring, class_names, fairseq, fairseq_weights
from hf_modeling.spec import LastTokenFirst, LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable

WIRING = Wiring(first=True, embedded=True, last=True)


def spec(c: MBartConfig) -> Seq2SeqSpec:
    """The encoder-decoder that a mbart config describes."""
    positions = LearnedPositions(count=c.max_position_embeddings + 2, offset=2)
    return fairseq(
        c,
        WIRING,
        positions,
        scaled=c.scale_embedding,
        decoder_input=LastTokenFirst(),
        echo=True,
        sentence_dropout=c.classifier_dropout,
    )


def weights(c: MBartConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(WIRING)


FAMILY = Family(
    model_type="mbart",
    config=MBartConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("MBart", "sequence-classification", "question-answering"),
)
