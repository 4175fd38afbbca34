"""Blenderbot: learned positions, norms before each branch and at the end of each stack."""

from __future__ import annotations

from hf_config.families.blenderbot import BlenderbotConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import PRE, class_names, fairseq, fairseq_weights
from hf_modeling.spec import LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable


def spec(c: BlenderbotConfig) -> Seq2SeqSpec:
    """The encoder-decoder that a blenderbot config describes."""
    positions = LearnedPositions(count=c.max_position_embeddings)
    return fairseq(c, PRE, positions, scaled=c.scale_embedding)


def weights(c: BlenderbotConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(PRE)


FAMILY = Family(
    model_type="blenderbot",
    config=BlenderbotConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("Blenderbot"),
)
