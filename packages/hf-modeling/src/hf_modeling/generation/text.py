"""From token ids to text while they arrive: what generation needs of a tokenizer, incremental decoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, final

REPLACEMENT = "\ufffd"
"""What decoders put where bytes do not yet make a character."""
LONGEST_CHARACTER = 4
"""Bytes, so tokens, that a character of UTF-8 can take; more than that pending are no character."""


class Detokenizer(Protocol):
    """Turns ids into text. Tokenizers of hf-tokenize and of transformers satisfy it."""

    def decode(self, token_ids: list[int], /, *, skip_special_tokens: bool = ...) -> str:
        """The text of these ids."""
        ...


class Vocabulary(Detokenizer, Protocol):
    """A detokenizer whose tokens can be listed."""

    def get_vocab(self) -> Mapping[str, int]:
        """Every token and its id."""
        ...


class Tokenizer(Vocabulary, Protocol):
    """A vocabulary that can also be read with."""

    def encode(self, text: str, /, *, add_special_tokens: bool = ...) -> list[int]:
        """The ids of a text."""
        ...


@final
class TextStream:
    """Decodes one sequence as its tokens arrive; joined pieces equal the text of all ids at once.

    A piece is held back while it ends inside a character. Only a short tail is decoded each time, with the
    tokens before it as context, so a long text costs no more per token than a short one.
    """

    def __init__(self, tokenizer: Detokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special_tokens = skip_special_tokens
        self._tail: list[int] = []
        self._given = 0
        """Tokens of the tail whose text was given out; they stay as context for those after."""

    def push(self, token_ids: Iterable[int]) -> str:
        """The text that these tokens complete, negative ids ignored; empty inside of a character."""
        return "".join(self._push_one(token) for token in token_ids if token >= 0)

    def _push_one(self, token: int) -> str:
        self._tail.append(token)
        known, text = self._decode(self._tail[: self._given]), self._decode(self._tail)
        incomplete = text.endswith(REPLACEMENT) and len(self._tail) - self._given <= LONGEST_CHARACTER
        if incomplete or len(text) <= len(known):
            return ""
        self._tail = self._tail[self._given :]
        self._given = len(self._tail)
        return text[len(known) :]

    def finish(self) -> str:
        """The text held back, incomplete characters included; the stream starts anew after it."""
        known, text = self._decode(self._tail[: self._given]), self._decode(self._tail)
        self._tail, self._given = [], 0
        return text[len(known) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=self._skip_special_tokens) if ids else ""
