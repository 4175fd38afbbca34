"""ERNIE: BERT with a vector for each task, where the checkpoint has them."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.ernie import ErnieConfig
from hf_modeling.families.encoder_names import bert_weights
from hf_modeling.families.encoder_parts import JUDGES, bert, classes, refuse_decoder
from hf_modeling.families.family import Family
from hf_modeling.spec import EncoderSpec, Types
from hf_modeling.weights.table import WeightTable, rule


def spec(c: ErnieConfig) -> EncoderSpec:
    """The encoder that an ERNIE config describes. Raises SpecError for one that makes a decoder."""
    refuse_decoder(c, "ernie")
    whole = bert(c, classifier_dropout=c.classifier_dropout)
    added = (Types(read="task_type_ids", count=c.task_type_vocab_size),) if c.use_task_id else ()
    return replace(whole, embed=replace(whole.embed, added=added))


def weights(c: ErnieConfig) -> WeightTable:
    """BERT's names under ERNIE's prefix."""
    tasks = rule("ernie.embeddings.task_type_embeddings.weight", "model.stem.added.0.weight")
    return bert_weights(c, "ernie.", tasks)


FAMILY = Family(
    model_type="ernie",
    config=ErnieConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes("Ernie", "masked-lm", "pretraining", "next-sentence", *JUDGES),
)
