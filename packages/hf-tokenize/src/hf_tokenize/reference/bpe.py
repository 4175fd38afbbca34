"""Byte pair encoding: start from characters, and join neighbours in the order in which training learnt to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Bpe:
    """A vocabulary and its merges, best first.

    `unk`: the token for characters outside the vocabulary (None: they vanish), runs of them count as one with
    `fuse_unk`. `byte_fallback`: such characters become their UTF-8 bytes, written `<0x41>`. `word_end`: a suffix that
    the last character of a word carries, such as `</w>`.
    """

    vocab: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    unk: str | None = None
    fuse_unk: bool = False
    byte_fallback: bool = False
    word_end: str = ""

    def tokenize(self, word: str) -> list[str]:
        """The tokens of one pre-token.

        At every step the leftmost pair of the best rank is joined, until no neighbours can be joined any more.
        """
        rank = {pair: at for at, pair in enumerate(self.merges)}
        symbols = self._characters(word)
        while True:
            pairs = [
                (rank[pair], at)
                for at in range(len(symbols) - 1)
                if (pair := (symbols[at], symbols[at + 1])) in rank
            ]
            if not pairs:
                return symbols
            _, at = min(pairs)
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]

    def _characters(self, word: str) -> list[str]:
        symbols: list[str] = []
        was_unknown = False
        for at, character in enumerate(word):
            symbol = character + (self.word_end if at == len(word) - 1 else "")
            if symbol in self.vocab:
                symbols.append(symbol)
                was_unknown = False
                continue
            in_bytes = [f"<0x{byte:02X}>" for byte in symbol.encode("utf-8")]
            if self.byte_fallback and all(name in self.vocab for name in in_bytes):
                symbols += in_bytes
                was_unknown = False
            elif self.unk is not None:
                if not (self.fuse_unk and was_unknown):
                    symbols.append(self.unk)
                was_unknown = True
        return symbols

    def encode(self, word: str) -> list[int]:
        """The ids of the tokens of one pre-token."""
        return [self.vocab[token] for token in self.tokenize(word)]
