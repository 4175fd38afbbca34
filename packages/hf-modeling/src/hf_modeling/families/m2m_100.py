"""M2M100 and NLLB: sinusoidal positions two rows down, norms before each branch and at the end of each stack."""

from __future__ import annotations

from hf_config.families.m2m_100 import M2M100Config
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import PRE, class_names, fairseq, fairseq_weights
from hf_modeling.spec import Seq2SeqSpec, SinusoidPositions
from hf_modeling.weights.table import WeightTable


def spec(c: M2M100Config) -> Seq2SeqSpec:
    """The encoder-decoder that a m2m_100 config describes."""
    positions = SinusoidPositions(range="closed", offset=2)
    return fairseq(c, PRE, positions, scaled=c.scale_embedding, logits_bias=False)


def weights(c: M2M100Config) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(PRE, logits_bias=False)


FAMILY = Family(
    model_type="m2m_100",
    config=M2M100Config,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("M2M100"),
)
