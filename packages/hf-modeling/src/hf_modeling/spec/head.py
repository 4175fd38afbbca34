"""From the last hidden states to what a task wants: logits over a vocabulary, or over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadTransform:
    """norm(activation(dense(h))) to `dim` features before the vocabulary projection (None keeps the width)."""

    activation: PlainActivation
    norm: Norm | None
    bias: bool = True
    dim: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LmHead:
    """softcap * tanh(scale * (W h + b) / softcap); `tied` takes W from the token embeddings."""

    tied: bool = False
    bias: bool = False
    scale: float = 1.0
    softcap: float | None = None
    transform: HeadTransform | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TextHead:
    """Scores of a whole text: W dropout(transform(dropout(x))), x read from the hidden states.

    `reads` says what x is: the pooler's output, the first real token's state, or the mean of all real tokens.
    `input_dropout` comes before the transform, `dropout` before W.
    """

    reads: Literal["pooler", "first", "mean"] = "pooler"
    transform: HeadTransform | None = None
    input_dropout: float = 0.0
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenHead:
    """Scores of each token: W dropout(transform(h))."""

    transform: HeadTransform | None = None
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderHeads:
    """What judges texts, choices among texts, pairs of sentences, tokens, and answers' first and last tokens.

    `detector` is what states pass through before the score of a token that may have been replaced (ELECTRA).
    """

    text: TextHead = TextHead()
    choice: TextHead = TextHead()
    pair: TextHead = TextHead(dropout=0.0)
    token: TokenHead = TokenHead()
    answer: TokenHead = TokenHead(dropout=0.0)
    detector: HeadTransform | None = None
