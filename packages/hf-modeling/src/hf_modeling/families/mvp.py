"""MVP: BART trained on many tasks; its prompts, vectors in front of each layer's keys, are not implemented."""

from __future__ import annotations

from hf_config.families.mvp import MvpConfig
from hf_modeling.errors import SpecError
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import POST, class_names, fairseq, fairseq_weights
from hf_modeling.spec import LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: MvpConfig) -> Seq2SeqSpec:
    """The encoder-decoder that an MVP config describes. Raises SpecError for one with prompts."""
    if c.use_prompt:
        raise SpecError(
            "this MVP has prompts in front of every layer's keys, which are not implemented",
            fix="set use_prompt to false in config.json, or take a checkpoint that was trained without",
        )
    positions = LearnedPositions(count=c.max_position_embeddings + 2, offset=2)
    return fairseq(
        c, POST, positions, scaled=c.scale_embedding, echo=True, sentence_dropout=c.classifier_dropout
    )


def weights(c: MvpConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(POST)


FAMILY = Family(
    model_type="mvp",
    config=MvpConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("Mvp", "sequence-classification", "question-answering"),
)
