"""One encoded text with everything known about each token, as parallel tuples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from hf_tokenize.options import Padding

_T = TypeVar("_T")


class CharSpan(NamedTuple):
    """Characters `[start, end)` of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens `[start, end)` of an encoding."""

    start: int
    end: int


class RawEncoding(Protocol):
    """What an engine gives for one text: parallel lists, one entry per token.

    `offsets`, `tokens` and `word_ids` may be blank when the engine was told that nobody needs them.
    """

    @property
    def ids(self) -> list[int]: ...
    @property
    def type_ids(self) -> list[int]: ...
    @property
    def tokens(self) -> list[str]: ...
    @property
    def offsets(self) -> list[tuple[int, int]]: ...
    @property
    def word_ids(self) -> list[int | None]: ...
    @property
    def sequence_ids(self) -> list[int | None]: ...
    @property
    def special_tokens_mask(self) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class PlainEncoding:
    """An encoding as plain lists; what engines written in Python give."""

    ids: list[int]
    type_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    special_tokens_mask: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """The tokens of one row, after truncation and padding.

    `sequence_ids` says which text a token comes from (0, 1, or None for tokens the template or padding
    added), `word_ids` which word of that text, `offsets` which characters of it.
    """

    ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    word_ids: tuple[int | None, ...]
    sequence_ids: tuple[int | None, ...]
    special_tokens_mask: tuple[int, ...]
    attention_mask: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_sequences(self) -> int:
        """1 for a single text, 2 for a pair."""
        return 2 if 1 in self.sequence_ids else 1

    def token_to_sequence(self, token: int) -> int | None:
        """Which text `token` comes from; None for a special or padding token."""
        return self.sequence_ids[token]

    def token_to_word(self, token: int) -> int | None:
        """The word that `token` is part of; None for a special or padding token."""
        return self.word_ids[token]

    def token_to_chars(self, token: int) -> CharSpan | None:
        """The characters `token` stands for; None for a special or padding token."""
        return None if self.sequence_ids[token] is None else CharSpan(*self.offsets[token])

    def char_to_token(self, char: int, sequence: int = 0) -> int | None:
        """The first token of text `sequence` that covers `char`; None where no token does."""
        for i, (start, end) in enumerate(self.offsets):
            if start <= char < end and self.sequence_ids[i] == sequence:
                return i
        return None

    def char_to_word(self, char: int, sequence: int = 0) -> int | None:
        """The word that `char` of text `sequence` belongs to; None for white space between words."""
        token = self.char_to_token(char, sequence)
        return None if token is None else self.word_ids[token]

    def word_to_tokens(self, word: int, sequence: int = 0) -> TokenSpan | None:
        """The tokens of a word; None for a word without tokens."""
        found = [i for i, w in enumerate(self.word_ids) if w == word and self.sequence_ids[i] == sequence]
        return TokenSpan(found[0], found[-1] + 1) if found else None

    def word_to_chars(self, word: int, sequence: int = 0) -> CharSpan | None:
        """The characters of a word; None for a word without tokens."""
        span = self.word_to_tokens(word, sequence)
        return None if span is None else CharSpan(self.offsets[span.start][0], self.offsets[span.end - 1][1])


def make_encoding(raw: RawEncoding, pieces: Sequence[slice] | None = None) -> Encoding:
    """The `Encoding` of those `pieces` of what the engine gave; of all of it without `pieces`."""
    ids = _take(raw.ids, pieces)
    return Encoding(
        ids=ids,
        type_ids=_take(raw.type_ids, pieces),
        tokens=_take(raw.tokens, pieces),
        offsets=_take(raw.offsets, pieces),
        word_ids=_take(raw.word_ids, pieces),
        sequence_ids=_take(raw.sequence_ids, pieces),
        special_tokens_mask=_take(raw.special_tokens_mask, pieces),
        attention_mask=(1,) * len(ids),
    )


def _take(values: list[_T], pieces: Sequence[slice] | None) -> tuple[_T, ...]:
    if pieces is None:
        return tuple(values)
    return tuple(value for piece in pieces for value in values[piece])


def pad_encoding(encoding: Encoding, padding: Padding, length: int) -> Encoding:
    """`encoding` padded to `length`; unchanged when it is that long already."""
    count = length - len(encoding)
    if count <= 0:
        return encoding
    left = padding.side == "left"

    def pad(values: tuple[_T, ...], filler: _T) -> tuple[_T, ...]:
        return (filler,) * count + values if left else values + (filler,) * count

    return Encoding(
        ids=pad(encoding.ids, padding.id),
        type_ids=pad(encoding.type_ids, padding.type_id),
        tokens=pad(encoding.tokens, padding.token),
        offsets=pad(encoding.offsets, (0, 0)),
        word_ids=pad(encoding.word_ids, None),
        sequence_ids=pad(encoding.sequence_ids, None),
        special_tokens_mask=pad(encoding.special_tokens_mask, 1),
        attention_mask=pad(encoding.attention_mask, 0),
    )
