"""WordPiece: from the left, always the longest piece the vocabulary has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """A vocabulary in which pieces that continue a word are written with `prefix`.

    A word of more than `longest` characters, or with a part no piece covers, is `unk` as a whole.
    """

    vocab: Mapping[str, int]
    unk: str = "[UNK]"
    prefix: str = "##"
    longest: int = 100

    def tokenize(self, word: str) -> list[str]:
        """The pieces of one word."""
        if len(word) > self.longest:
            return [self.unk]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            for stop in range(len(word), start, -1):
                piece = (self.prefix if start else "") + word[start:stop]
                if piece in self.vocab:
                    break
            else:
                return [self.unk]
            pieces.append(piece)
            start = stop
        return pieces

    def encode(self, word: str) -> list[int]:
        """The ids of the pieces of one word."""
        return [self.vocab[piece] for piece in self.tokenize(word)]
