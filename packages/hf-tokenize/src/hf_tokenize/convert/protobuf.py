"""Just enough of the protocol buffer wire format to read a SentencePiece model, without a dependency."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

from hf_tokenize.errors import TokenizerFileError

Field: TypeAlias = "tuple[int, int | float | bytes]"
"""Field number and value: an int (varint or 64-bit), a float (32-bit), or bytes (strings, nested messages).
"""


def read_fields(data: bytes, *, source: str) -> Iterator[Field]:
    """The fields of one message, in the order of the file. Raises TokenizerFileError for a cut file."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at, source)
        number, wire = key >> 3, key & 7
        match wire:
            case 0:
                value, at = _varint(data, at, source)
                yield number, value
            case 1:
                yield number, int.from_bytes(_cut(data, at, 8, source), "little")
                at += 8
            case 2:
                size, at = _varint(data, at, source)
                yield number, _cut(data, at, size, source)
                at += size
            case 5:
                yield number, struct.unpack("<f", _cut(data, at, 4, source))[0]
                at += 4
            case _:
                raise _broken(source, at, f"wire type {wire}")


def _varint(data: bytes, at: int, source: str) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise _broken(source, at, "the file ends in a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _broken(source, at, "a number of more than ten bytes")


def _cut(data: bytes, at: int, size: int, source: str) -> bytes:
    if at + size > len(data):
        raise _broken(source, at, f"a value of {size} bytes where {len(data) - at} are left")
    return data[at : at + size]


def _broken(source: str, at: int, why: str) -> TokenizerFileError:
    return TokenizerFileError(
        f"{source} is not a SentencePiece model: {why}, at byte {at}",
        fix=f"delete {source} and fetch it again",
        file=source,
    )
