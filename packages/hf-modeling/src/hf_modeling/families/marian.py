"""Marian: sinusoidal positions, norms after each branch, one vocabulary for both languages or one for each."""

from __future__ import annotations

from dataclasses import replace

from hf_config.families.marian import MarianConfig
from hf_modeling.families.family import Family
from hf_modeling.families.seq2seq_parts import Wiring, fairseq, fairseq_weights
from hf_modeling.spec import Seq2SeqSpec, SinusoidTable
from hf_modeling.weights.table import WeightTable, drop

WIRING = Wiring(first=False, embedded=False, last=False)


def spec(c: MarianConfig) -> Seq2SeqSpec:
    """The translator that a Marian config describes."""
    whole = fairseq(
        c, WIRING, SinusoidTable(count=c.max_position_embeddings, saved=False), scaled=c.scale_embedding
    )
    embed = replace(whole.decoder.embed, vocab=c.decoder_vocab_size)
    return replace(
        whole,
        decoder=replace(whole.decoder, embed=embed),
        shared=c.share_encoder_decoder_embeddings,
    )


def weights(c: MarianConfig) -> WeightTable:
    """fairseq's names."""
    return fairseq_weights(WIRING, shared=c.share_encoder_decoder_embeddings)


FAMILY = Family(
    model_type="marian",
    config=MarianConfig,
    spec=spec,
    weights=weights,
    skeleton="seq2seq",
    ignored=(
        drop(
            "model.encoder.embed_positions.weight",
            "model.decoder.embed_positions.weight",
            why="sinusoids, computed",
        ),
    ),
    classes={"base": "MarianModel", "seq2seq-lm": "MarianMTModel"},
)
