"""LayoutLM: BERT that also reads where on the page each token stands."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.layoutlm import LayoutLMConfig
from hf_modeling.families.encoder_names import bert_weights
from hf_modeling.families.encoder_parts import bert, classes
from hf_modeling.families.family import Family
from hf_modeling.spec import Boxes, EncoderSpec
from hf_modeling.weights.table import WeightTable, rule


def spec(c: LayoutLMConfig) -> EncoderSpec:
    """The encoder that a LayoutLM config describes."""
    whole = bert(c)
    return replace(whole, embed=replace(whole.embed, added=(Boxes(count=c.max_2d_position_embeddings),)))


def weights(c: LayoutLMConfig) -> WeightTable:
    """BERT's names under LayoutLM's prefix, and a table for each way to measure a box."""
    tables = (
        rule(f"layoutlm.embeddings.{of}_position_embeddings.weight", f"model.stem.added.0.{of}.weight")
        for of in "xyhw"
    )
    return bert_weights(c, "layoutlm.", *tables)


FAMILY = Family(
    model_type="layoutlm",
    config=LayoutLMConfig,
    spec=spec,
    weights=weights,
    skeleton="encoder",
    classes=classes(
        "LayoutLM",
        "masked-lm",
        "sequence-classification",
        "token-classification",
        "question-answering",
    ),
)
