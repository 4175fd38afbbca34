"""The compiled normalisation table of a SentencePiece model, read back.

It is a double-array trie over UTF-8 (darts-clone): 32-bit units, each with a label, an offset to its children, and a
flag for "a rule ends here", followed by the replacements as NUL-terminated strings.
"""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass

from hf_tokenize.errors import TokenizerFileError


@dataclass(frozen=True, slots=True)
class Charsmap:
    """Rules from strings to strings; at every place of a text the longest one that fits applies."""

    units: tuple[int, ...]
    replacements: bytes

    def normalize(self, text: str) -> str:
        """`text` with every rule applied, from left to right."""
        data, at, result = text.encode("utf-8"), 0, bytearray()
        while at < len(data):
            length, replacement = self._longest(data, at)
            if length:
                result += replacement
            else:
                length = _width(data[at])
                result += data[at : at + length]
            at += length
        return result.decode("utf-8", errors="replace")

    def _longest(self, data: bytes, start: int) -> tuple[int, bytes]:
        units, found = self.units, (0, b"")
        node = _offset(units[0])
        for at in range(start, len(data)):
            node ^= data[at]
            if node >= len(units):
                break
            unit = units[node]
            if unit & 0x800000FF != data[at]:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                place = units[node] & 0x7FFFFFFF
                found = at + 1 - start, self.replacements[place : self.replacements.index(b"\0", place)]
        return found


def parse_charsmap(blob: bytes, *, source: str) -> Charsmap:
    """The table in the bytes that a model file carries. Raises TokenizerFileError."""
    size = int.from_bytes(blob[:4], "little") if len(blob) >= 4 else 0
    if not size or size % 4 or len(blob) < 4 + size:
        raise TokenizerFileError(
            f"{source} has a normalisation table of {len(blob)} bytes that says it has {size}",
            fix=f"delete {source} and fetch it again",
            file=source,
        )
    return Charsmap(struct.unpack(f"<{size // 4}I", blob[4 : 4 + size]), blob[4 + size :] + b"\0")


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)


def _width(byte: int) -> int:
    return 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


_COMPATIBILITY = (
    "e\u0301",
    "o\u0302\u0301",
    "\ufb01",
    "\u2167",
    "\uff21",
    "\u3000",
    "\u1100\u1161",
)


def is_compatibility_form(charsmap: Charsmap) -> bool:
    """Whether the table is Unicode's NFKC with changes, as all that SentencePiece ships are; judged by samples."""
    return all(
        charsmap.normalize(sample).lower() == unicodedata.normalize("NFKC", sample).lower()
        for sample in _COMPATIBILITY
    )
