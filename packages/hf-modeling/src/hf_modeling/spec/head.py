"""From the last hidden states to what a task wants: logits over a vocabulary, or over classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_modeling.spec.activation import PlainActivation
from hf_modeling.spec.ffn import Mlp
from hf_modeling.spec.norm import Norm
from hf_modeling.spec.sparse import GlobalTokens
from hf_modeling.spec.table import TableHead


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

    `reads` says what x is: the pooler's output, the first or last real token's state, or the mean of all real tokens.
    `input_dropout` comes before the transform, `dropout` before W. `global_tokens` are those that see all tokens
    where callers do not mark any, in families that have such.
    """

    reads: Literal["pooler", "first", "last", "mean"] = "pooler"
    transform: HeadTransform | None = None
    input_dropout: float = 0.0
    dropout: float = 0.1
    global_tokens: GlobalTokens | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenHead:
    """Scores of each token: W dropout(transform(h)); `global_tokens` as in `TextHead`."""

    transform: HeadTransform | None = None
    dropout: float = 0.1
    global_tokens: GlobalTokens | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerHead:
    """Scores of each token as an answer's first and last: W dropout(transform(h)); `global_tokens` as in `TextHead`.

    `network` with `norm` makes norm(h + network(dropout(h))) of h instead. With a `separator` tokens up to the
    first one are the question: they cannot be an answer, but for the text's first token, and are the first
    segment where callers give none (BigBird).
    """

    transform: HeadTransform | None = None
    dropout: float = 0.0
    global_tokens: GlobalTokens | None = None
    network: Mlp | None = None
    norm: Norm | None = None
    separator: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderHeads:
    """What judges texts, choices among texts, pairs of sentences, tokens, and answers' first and last tokens.

    `detector` is what states pass through before the score of a token that may have been replaced (ELECTRA),
    `table` says how questions about tables are answered (TAPAS).
    """

    text: TextHead = TextHead()
    choice: TextHead = TextHead()
    pair: TextHead = TextHead(dropout=0.0)
    token: TokenHead = TokenHead()
    answer: AnswerHead = AnswerHead()
    detector: HeadTransform | None = None
    table: TableHead | None = None
