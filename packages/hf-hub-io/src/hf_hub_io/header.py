"""The safetensors header, read and checked before anything is mapped.

A file is `u64 n` (little-endian), `n` bytes of JSON, then the data. The JSON maps each tensor to its
`dtype`, `shape` and `data_offsets`, the half-open byte range inside the data; `__metadata__` maps text to
text. Ranges must tile the data exactly. The format is described at
https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from hf_hub_io.dtypes import DType
from hf_hub_io.errors import HeaderError, JsonFileError, TruncatedFileError
from hf_hub_io.jsonio import JsonValue, parse_json_object

MAX_HEADER_BYTES = 100_000_000
_LFS_POINTER = b"version https://git-lfs"
_METADATA_KEY = "__metadata__"
_TENSOR_KEYS = frozenset({"dtype", "shape", "data_offsets"})
_MAX_DIMENSION = 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """Where one stored tensor lies: bytes `start` to `end` of `file`, counted from the file's first byte."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes the tensor takes in the file."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A checked safetensors header: tensors in the order of their bytes, and the file's own text metadata."""

    file: Path
    tensors: Mapping[str, TensorInfo] = field(repr=False)
    metadata: Mapping[str, str]
    data_start: int


def read_header(path: str | Path) -> Header:
    """The checked header of the safetensors file at `path`; tensor data is not read.

    Raises TruncatedFileError when the file is too short, HeaderError for anything else that cannot be
    right, and FileNotFoundError.
    """
    path = Path(path)
    with path.open("rb") as file:
        return parse_header(file, path)


def parse_header(file: BinaryIO, path: Path) -> Header:
    """The checked header of an open safetensors file; errors call it `path`."""
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        raise _truncated(path, expected=8, actual=size, part="length field")
    start = file.read(32)
    if start.startswith(_LFS_POINTER):
        raise _broken(
            path, "is a Git LFS pointer, not the weights themselves", fix="run `git lfs pull` in its folder"
        )
    if start[8:9] not in (b"{", b""):
        raise _broken(
            path, f"is not a safetensors file: its header starts with {start[8:16]!r} instead of b'{{'"
        )
    length = int.from_bytes(start[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise _broken(path, f"announces a header of {length:,} bytes; the format allows {MAX_HEADER_BYTES:,}")
    if 8 + length > size:
        raise _truncated(path, expected=8 + length, actual=size, part="header")
    file.seek(8)
    text = file.read(length)
    try:
        fields = parse_json_object(text, source=f"the header of {path}", unique_keys=True)
    except JsonFileError as error:
        raise _broken(path, f"has an unreadable header: {error.what}") from None
    metadata = _metadata(fields.pop(_METADATA_KEY, None), path)
    tensors = sorted(
        (_tensor(name, entry, path, 8 + length) for name, entry in fields.items()),
        key=lambda tensor: (tensor.start, tensor.end),
    )
    _check_tiling(tensors, path, start=8 + length, size=size)
    return Header(
        file=path,
        tensors=MappingProxyType({tensor.name: tensor for tensor in tensors}),
        metadata=MappingProxyType(metadata),
        data_start=8 + length,
    )


def _metadata(value: JsonValue, path: Path) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _broken(path, f"has a {_METADATA_KEY} that is a {type(value).__name__}, not an object")
    texts: dict[str, str] = {}
    for key, text in value.items():
        if not isinstance(text, str):
            raise _broken(
                path, f"has the {_METADATA_KEY} entry {key!r} that is a {type(text).__name__}, not text"
            )
        texts[key] = text
    return texts


def _tensor(name: str, entry: JsonValue, path: Path, data_start: int) -> TensorInfo:
    if not isinstance(entry, dict) or entry.keys() != _TENSOR_KEYS:
        raise _broken(path, f"describes tensor {name!r} by something else than dtype, shape and data_offsets")
    shape, offsets = _naturals(entry["shape"]), _naturals(entry["data_offsets"])
    if shape is None:
        raise _broken(
            path, f"gives tensor {name!r} the shape {_short(entry['shape'])}, not a list of sizes >= 0"
        )
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _broken(
            path,
            f"gives tensor {name!r} the data_offsets {_short(entry['data_offsets'])}, "
            "not [start, end] with start <= end",
        )
    kind = entry["dtype"]
    if not isinstance(kind, str) or kind not in DType.__members__:
        raise _broken(
            path,
            f"gives tensor {name!r} the dtype {_short(kind)}, none of {', '.join(DType.__members__)}",
            fix="upgrade hf-hub-io if this element type is new, otherwise fetch the file again",
        )
    dtype = DType[kind]
    try:
        expected = dtype.nbytes(shape)
    except ValueError as error:
        raise _broken(path, f"has tensor {name!r}, whose {error}") from None
    if expected != offsets[1] - offsets[0]:
        raise _broken(
            path,
            f"gives tensor {name!r} {offsets[1] - offsets[0]:,} bytes; {dtype.value} {_short(list(shape))} "
            f"takes {expected:,}",
        )
    return TensorInfo(
        name=name,
        dtype=dtype,
        shape=shape,
        file=path,
        start=data_start + offsets[0],
        end=data_start + offsets[1],
    )


def _naturals(value: JsonValue) -> tuple[int, ...] | None:
    """The list as a tuple when it holds only sizes that fit 63 bits."""
    if not isinstance(value, list):
        return None
    sizes = [v for v in value if isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= _MAX_DIMENSION]
    return tuple(sizes) if len(sizes) == len(value) else None


def _check_tiling(tensors: list[TensorInfo], path: Path, *, start: int, size: int) -> None:
    """Every data byte belongs to exactly one tensor."""
    covered, last = start, "the header"
    for tensor in tensors:
        if tensor.start < covered:
            raise _broken(
                path,
                f"has tensor {tensor.name!r} start at byte {tensor.start:,}, "
                f"inside {last}, which ends at {covered:,}",
            )
        if tensor.start > covered:
            raise _broken(
                path,
                f"has {tensor.start - covered:,} bytes that belong to no tensor between {last} and tensor "
                f"{tensor.name!r} at byte {tensor.start:,}",
            )
        covered, last = tensor.end, f"tensor {tensor.name!r}"
    if covered > size:
        raise _truncated(path, expected=covered, actual=size, part="tensors")
    if covered < size:
        raise _broken(
            path,
            f"has {size - covered:,} bytes after the end of {last} (byte {covered:,}) that belong to none",
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _refetch(path: Path) -> str:
    return f"delete {path} (for a Hub cache also the file it links to) and fetch it again"


def _broken(path: Path, problem: str, *, fix: str = "") -> HeaderError:
    return HeaderError(f"{path} {problem}", fix=fix or _refetch(path), file=path)


def _truncated(path: Path, *, expected: int, actual: int, part: str) -> TruncatedFileError:
    return TruncatedFileError(
        f"{path} is cut short: {expected:,} bytes are expected up to the end of its {part}, "
        f"the file has {actual:,}",
        fix=_refetch(path),
        file=path,
    )
