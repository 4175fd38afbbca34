"""GGUF containers: the metadata and the tensor table, read and checked; data stays packed as it lies.

Layout (little-endian): `GGUF`, u32 version, u64 tensors, u64 metadata entries, the entries, the tensor
table, padding to `general.alignment`, then data. See
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Turning packed blocks into numbers is the
business of `hf_modeling.weights`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, final

from hf_hub_io.errors import GgufError
from hf_hub_io.mapped import map_file

GgufValue: TypeAlias = "bool | int | float | str | tuple[GgufValue, ...]"
"""A metadata value; arrays are tuples."""

_MAX_DIMENSIONS = 4
_MAX_ARRAY_DEPTH = 4
_DEFAULT_ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class GgmlType(IntEnum):
    """How a tensor's elements are packed: `block` elements at a time, in `block_bytes` bytes."""

    block: int
    block_bytes: int

    def __new__(cls, value: int, block: int, block_bytes: int) -> GgmlType:
        member = int.__new__(cls, value)
        member._value_ = value
        member.block, member.block_bytes = block, block_bytes
        return member

    F32 = 0, 1, 4
    F16 = 1, 1, 2
    Q4_0 = 2, 32, 18
    Q4_1 = 3, 32, 20
    Q5_0 = 6, 32, 22
    Q5_1 = 7, 32, 24
    Q8_0 = 8, 32, 34
    Q8_1 = 9, 32, 40
    Q2_K = 10, 256, 84
    Q3_K = 11, 256, 110
    Q4_K = 12, 256, 144
    Q5_K = 13, 256, 176
    Q6_K = 14, 256, 210
    Q8_K = 15, 256, 292
    IQ2_XXS = 16, 256, 66
    IQ2_XS = 17, 256, 74
    IQ3_XXS = 18, 256, 98
    IQ1_S = 19, 256, 50
    IQ4_NL = 20, 32, 18
    IQ3_S = 21, 256, 110
    IQ2_S = 22, 256, 82
    IQ4_XS = 23, 256, 136
    I8 = 24, 1, 1
    I16 = 25, 1, 2
    I32 = 26, 1, 4
    I64 = 27, 1, 8
    F64 = 28, 1, 8
    IQ1_M = 29, 256, 56
    BF16 = 30, 1, 2
    TQ1_0 = 34, 256, 54
    TQ2_0 = 35, 256, 66
    MXFP4 = 39, 32, 17
    NVFP4 = 40, 64, 36
    Q1_0 = 41, 128, 18


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufTensor:
    """Where one packed tensor lies. `shape` is row-major: the packed, fastest dimension comes last."""

    name: str
    type: GgmlType
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes the tensor takes in the file."""
        return self.end - self.start


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class GgufFile:
    """A GGUF file in memory as the file system has it. Views stay valid as long as somebody holds them."""

    path: Path
    version: int
    metadata: Mapping[str, GgufValue] = field(repr=False)
    tensors: Mapping[str, GgufTensor] = field(repr=False)
    _map: mmap.mmap = field(repr=False)

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False) -> GgufFile:
        """Maps the file at `path` after checking its tables; `writable` gives private copy-on-write pages.

        Raises GgufError, FileNotFoundError.
        """
        path = Path(path)
        with path.open("rb") as file:
            if path.stat().st_size < 24:
                raise _error(path, "is too short for a GGUF header of 24 bytes")
            mapped = map_file(file.fileno(), writable=writable)
        cursor = _Cursor(path, memoryview(mapped))
        try:
            version, metadata, tensors = _tables(cursor)
        except BaseException:
            cursor.data.release()
            raise
        return cls(path=path, version=version, metadata=metadata, tensors=tensors, _map=mapped)

    def view(self, name: str) -> memoryview:
        """The packed bytes of tensor `name`, not copied. Raises GgufError for an unknown name."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise GgufError(
                f"{self.path} has no tensor {name!r}",
                fix=f"use one of its {len(self.tensors)} tensors: {', '.join(list(self.tensors)[:3])}, ...",
                file=self.path,
            )
        return memoryview(self._map)[tensor.start : tensor.end]


@final
class _Cursor:
    """Reads forward through a file and refuses to run over its end."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def take(self, count: int, what: str) -> memoryview:
        if count > len(self.data) - self.at:
            raise _error(
                self.path,
                f"ends at byte {len(self.data):,}, "
                f"inside {what}, which needs {count:,} bytes from {self.at:,}",
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, code: str, what: str) -> tuple[GgufValue, ...]:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))

    def integer(self, code: str, what: str) -> int:
        return int.from_bytes(self.take(struct.calcsize("<" + code), what), "little")

    def text(self, what: str) -> str:
        data = bytes(self.take(self.integer("Q", what), what))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise _error(self.path, f"has {what} that is not valid UTF-8") from None


def _tables(
    cursor: _Cursor,
) -> tuple[int, Mapping[str, GgufValue], Mapping[str, GgufTensor]]:
    path = cursor.path
    magic = bytes(cursor.take(4, "the magic"))
    if magic != b"GGUF":
        raise _error(path, f"is not a GGUF file: it starts with {magic!r}")
    version = cursor.integer("I", "the version")
    if version not in (2, 3):
        problem = "is big-endian" if version in (2 << 24, 3 << 24) else f"has the GGUF version {version}"
        raise _error(path, f"{problem}; little-endian versions 2 and 3 can be read", fix="convert it again")
    tensor_count = cursor.integer("Q", "the tensor count")
    metadata: dict[str, GgufValue] = {}
    for _ in range(cursor.integer("Q", "the metadata count")):
        key = cursor.text("a metadata key")
        if key in metadata:
            raise _error(path, f"says the metadata key {key!r} twice")
        metadata[key] = _value(cursor, cursor.integer("I", key), key)
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment % 8:
        raise _error(path, f"has the general.alignment {alignment!r}, not a positive multiple of 8")
    entries: dict[str, tuple[GgmlType, tuple[int, ...], int]] = {}
    for _ in range(tensor_count):
        name = cursor.text("a tensor name")
        if name in entries:
            raise _error(path, f"names the tensor {name!r} twice")
        entries[name] = _entry(cursor, name)
    start = -(-cursor.at // alignment) * alignment
    tensors = {
        name: _placed(name, entry, path, start, alignment, len(cursor.data))
        for name, entry in entries.items()
    }
    _check_overlap(path, tensors)
    return version, MappingProxyType(metadata), MappingProxyType(tensors)


def _value(cursor: _Cursor, kind: int, key: str, depth: int = 0) -> GgufValue:
    if kind in _SCALARS:
        return cursor.unpack(_SCALARS[kind], key)[0]
    if kind == _STRING:
        return cursor.text(key)
    if kind != _ARRAY:
        raise _error(cursor.path, f"gives {key!r} the unknown type {kind}")
    if depth == _MAX_ARRAY_DEPTH:
        raise _error(cursor.path, f"nests arrays in {key!r} more than {_MAX_ARRAY_DEPTH} deep")
    kind, count = cursor.integer("I", key), cursor.integer("Q", key)
    if kind in _SCALARS:
        width = struct.calcsize("<" + _SCALARS[kind])
        data = cursor.take(count * width, key)
        return struct.unpack(f"<{count}{_SCALARS[kind]}", data)
    if kind == _STRING:
        return tuple([cursor.text(key) for _ in range(count)])
    return tuple([_value(cursor, kind, key, depth + 1) for _ in range(count)])


def _entry(cursor: _Cursor, name: str) -> tuple[GgmlType, tuple[int, ...], int]:
    dimensions = cursor.integer("I", name)
    if dimensions > _MAX_DIMENSIONS:
        raise _error(
            cursor.path, f"gives tensor {name!r} {dimensions} dimensions; {_MAX_DIMENSIONS} are possible"
        )
    sizes = tuple(cursor.integer("Q", name) for _ in range(dimensions))
    kind = cursor.integer("I", name)
    try:
        type_ = _TYPES[kind]
    except KeyError:
        raise _error(
            cursor.path, f"packs tensor {name!r} as type {kind}, which is unknown", fix="upgrade hf-hub-io"
        ) from None
    if sizes and sizes[0] % type_.block:
        raise _error(
            cursor.path,
            f"has tensor {name!r} with rows of {sizes[0]}, not whole {type_.name} blocks of {type_.block}",
        )
    return type_, sizes[::-1], cursor.integer("Q", name)


def _placed(
    name: str,
    entry: tuple[GgmlType, tuple[int, ...], int],
    path: Path,
    data_start: int,
    alignment: int,
    size: int,
) -> GgufTensor:
    type_, shape, offset = entry
    if offset % alignment:
        raise _error(path, f"puts tensor {name!r} at offset {offset:,}, not a multiple of {alignment}")
    start = data_start + offset
    end = start + prod(shape) // type_.block * type_.block_bytes
    if end > size:
        raise _error(path, f"is cut short: tensor {name!r} ends at byte {end:,}, the file at {size:,}")
    return GgufTensor(name=name, type=type_, shape=shape, file=path, start=start, end=end)


def _check_overlap(path: Path, tensors: Mapping[str, GgufTensor]) -> None:
    ordered = sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end))
    for before, after in pairwise(ordered):
        if after.start < before.end:
            raise _error(path, f"has tensors {before.name!r} and {after.name!r} share bytes")


_TYPES = {int(member): member for member in GgmlType}


def _error(path: Path, problem: str, *, fix: str = "") -> GgufError:
    return GgufError(f"{path} {problem}", fix=fix or f"delete {path} and fetch it again", file=path)
