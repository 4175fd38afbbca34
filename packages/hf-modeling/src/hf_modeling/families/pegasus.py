"""Pegasus: stored sinusoidal positions, norms before each branch and at the end of each stack."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.pegasus import PegasusConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import PRE, STORED_POSITIONS, class_names, fairseq, fairseq_weights
from hf_modeling.spec import Seq2SeqSpec, SinusoidTable
from hf_modeling.weights.table import WeightTable


def spec(c: PegasusConfig) -> Seq2SeqSpec:
    """The encoder-decoder that a pegasus config describes."""
    positions = SinusoidTable(count=c.max_position_embeddings)
    return fairseq(c, PRE, positions, scaled=c.scale_embedding)


def weights(c: PegasusConfig) -> WeightTable:
    """fairseq's names."""
    return replace(fairseq_weights(PRE), computed=STORED_POSITIONS)


FAMILY = Family(
    model_type="pegasus",
    config=PegasusConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("Pegasus"),
)
