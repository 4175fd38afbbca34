"""Blenderbot Small: BART whose decoder adds positions after the norm of its embeddings."""

from __future__ import annotations

from hf_config.families.blenderbot_small import BlenderbotSmallConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import Wiring, class_names, fairseq, fairseq_weights
from hf_modeling.spec import LearnedPositions, Seq2SeqSpec
from hf_modeling.weights.table import WeightTable

WIRING = Wiring(first=False, embedded=True, last=False, late_positions=True)


def spec(c: BlenderbotSmallConfig) -> Seq2SeqSpec:
    """The encoder-decoder that a blenderbot-small config describes."""
    positions = LearnedPositions(count=c.max_position_embeddings)
    return fairseq(c, WIRING, positions, scaled=c.scale_embedding)


def weights(c: BlenderbotSmallConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(WIRING)


FAMILY = Family(
    model_type="blenderbot-small",
    config=BlenderbotSmallConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    classes=class_names("BlenderbotSmall"),
)
