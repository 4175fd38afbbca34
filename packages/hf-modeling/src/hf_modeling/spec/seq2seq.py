"""Encoder-decoders: two stacks, of which the second reads what the first gave."""

from __future__ import annotations

from dataclasses import dataclass

from hf_modeling.spec.model import DecoderSpec, EncoderSpec, StackSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class StartToken:
    """The decoder reads `token`, then the labels without their last."""

    token: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LastTokenFirst:
    """The decoder reads each row's last real label, its language, then the labels before it (mBART)."""


DecoderInput = StartToken | LastTokenFirst


@dataclass(frozen=True, kw_only=True, slots=True)
class Seq2SeqSpec:
    """An encoder, and a decoder whose blocks are `Crossed`.

    `shared` says that both read tokens through one table. `decoder_input` makes the decoder's input from labels;
    with `echo` a call without either makes it from the encoder's input (BART). `bridge` projects the encoder's
    states to the decoder's width. `logits_bias` adds stored, untrained numbers to the logits. `sentence_dropout`
    is that of the sentence classifier.
    """

    encoder: EncoderSpec
    decoder: DecoderSpec
    decoder_input: DecoderInput
    shared: bool = True
    echo: bool = False
    bridge: bool = False
    logits_bias: bool = False
    sentence_dropout: float = 0.0


ModelSpec = StackSpec | Seq2SeqSpec
