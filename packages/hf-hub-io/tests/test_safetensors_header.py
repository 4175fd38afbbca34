"""The header reader accepts every well-formed file and refuses, by name, every kind of broken one."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_hub_io import DType, MappedFile, read_header
from hf_hub_io.errors import HeaderError, TruncatedFileError


def encode(header: Mapping[str, Any] | str | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, (str, bytes)) else json.dumps(header)
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + data


def entry(dtype: str, shape: list[Any], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {
        "b": entry("F32", [2], 8, 16),
        "a": entry("I64", [], 0, 8),
        "none": entry("F16", [0, 3], 16, 16),
    }
    path.write_bytes(encode({"__metadata__": {"format": "pt"}, **tensors}, bytes(range(16))))
    header = read_header(path)
    assert list(header.tensors) == ["a", "b", "none"]
    assert header.metadata == {"format": "pt"}
    b = header.tensors["b"]
    assert (b.dtype, b.shape, b.nbytes, b.file) == (DType.F32, (2,), 8, path)
    assert path.read_bytes()[b.start : b.end] == bytes(range(8, 16))


def test_an_empty_checkpoint_and_padding_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(encode("{}      "))
    assert dict(read_header(path).tensors) == {}


GOOD = entry("F32", [2], 0, 8)
BROKEN: dict[str, tuple[bytes, str]] = {
    "not safetensors": (b"PK\x03\x04" + b"\0" * 40, "is not a safetensors file"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    "pickle": (struct.pack("<Q", 4) + b"\x80\x02}q" + b"\0" * 8, "starts with"),
    "huge header": (struct.pack("<Q", 2**63) + b"{}", "allows 100,000,000"),
    "bad json": (encode("{nope"), "unreadable header"),
    "deep json": (encode('{"a":' * 50_000), "nested too deeply"),
    "bad utf-8": (encode(b'{"\xff": 1}'), "unreadable header"),
    "duplicate tensor": (
        encode('{"a":%s,"a":%s}' % ((json.dumps(GOOD),) * 2), b"\0" * 8),
        "'a' appears twice",
    ),
    "duplicate field": (
        encode('{"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}', b"\0" * 4),
        "'dtype' appears twice",
    ),
    "duplicate metadata": (encode('{"__metadata__":{"k":"1","k":"2"}}'), "'k' appears twice"),
    "metadata is text": (encode({"__metadata__": "x"}), "not an object"),
    "metadata number": (encode({"__metadata__": {"k": 1}}), "'k' that is a int, not text"),
    "entry is a list": (encode({"w": []}), "'w' by something else"),
    "extra field": (encode({"w": {**GOOD, "code": "x"}}, b"\0" * 8), "'w' by something else"),
    "missing field": (encode({"w": {"dtype": "F32", "shape": [2]}}, b"\0" * 8), "'w' by something else"),
    "unknown dtype": (encode({"w": entry("F33", [2], 0, 8)}, b"\0" * 8), "'F33', none of BOOL"),
    "dtype number": (encode({"w": {**GOOD, "dtype": 3}}, b"\0" * 8), "dtype 3"),
    "negative size": (encode({"w": entry("F32", [-2], 0, 8)}, b"\0" * 8), "not a list of sizes"),
    "float size": (encode({"w": entry("F32", [2.0], 0, 8)}, b"\0" * 8), "not a list of sizes"),
    "bool size": (encode({"w": entry("F32", [True, 2], 0, 8)}, b"\0" * 8), "not a list of sizes"),
    "overflowing size": (encode({"w": entry("F32", [2**64], 0, 8)}, b"\0" * 8), "not a list of sizes"),
    "overflowing product": (encode({"w": entry("F32", [2**40, 2**40], 0, 8)}, b"\0" * 8), "takes"),
    "offsets reversed": (encode({"w": entry("F32", [2], 8, 0)}, b"\0" * 8), "start <= end"),
    "three offsets": (encode({"w": {**GOOD, "data_offsets": [0, 4, 8]}}, b"\0" * 8), "start <= end"),
    "wrong byte count": (encode({"w": entry("F32", [3], 0, 8)}, b"\0" * 8), r"8 bytes; F32 \[3\] takes 12"),
    "half bytes": (encode({"w": entry("F4", [3], 0, 2)}, b"\0" * 2), "12 bits, not whole bytes"),
    "overlap": (
        encode({"a": GOOD, "b": entry("F32", [2], 4, 12)}, b"\0" * 12),
        "'b' start at byte .* inside tensor 'a'",
    ),
    "same bytes": (encode({"a": GOOD, "b": GOOD}, b"\0" * 8), "inside tensor"),
    "gap": (
        encode({"a": GOOD, "b": entry("F32", [2], 12, 20)}, b"\0" * 20),
        "4 bytes that belong to no tensor",
    ),
    "gap at start": (
        encode({"a": entry("F32", [2], 4, 12)}, b"\0" * 12),
        "between the header and tensor 'a'",
    ),
    "trailing bytes": (encode({"a": GOOD}, b"\0" * 9), "1 bytes after the end"),
    "trailing without tensors": (encode("{}", b"x"), "1 bytes after the end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(name: str, tmp_path: Path) -> None:
    data, pattern = BROKEN[name]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    for read in (read_header, MappedFile.open):
        with pytest.raises(HeaderError, match=pattern) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert caught.value.file == path
        assert caught.value.fix


@pytest.mark.parametrize(
    ("keep", "part"),
    [(0, "length field"), (5, "length field"), (20, "header"), (-1, "tensors"), (-8, "tensors")],
)
def test_a_cut_file_says_how_many_bytes_are_missing(keep: int, part: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    whole = encode({"a": GOOD}, b"\0" * 8)
    path.write_bytes(whole[:keep])
    size = len(whole[:keep])
    with pytest.raises(
        TruncatedFileError, match=f"is cut short: .* bytes .* of its {part}, the file has {size:,}"
    ) as caught:
        read_header(path)
    assert f"delete {path}" in caught.value.fix
    assert "fetch it again" in caught.value.fix


def test_every_prefix_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = encode({"a": GOOD, "__metadata__": {"k": "v"}}, b"\0" * 8)
    path = tmp_path / "p.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TruncatedFileError):
            read_header(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELD = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*DType.__members__, "F9", 1]),
        "shape": st.one_of(st.lists(st.integers(-1, 5), max_size=3), JSON),
        "data_offsets": st.one_of(st.lists(st.integers(-1, 64), min_size=2, max_size=2), JSON),
    }
)
HEADERS = st.one_of(
    st.dictionaries(st.text(max_size=3), st.one_of(FIELD, JSON), max_size=4).map(json.dumps).map(str.encode),
    JSON.map(json.dumps).map(str.encode),
    st.binary(max_size=60),
)


@settings(max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HEADERS, st.integers(0, 80), st.integers(-3, 3))
def test_any_bytes_are_read_or_refused_and_never_crash(
    tmp_path: Path, header: bytes, data: int, lie: int
) -> None:
    path = tmp_path / "fuzz.safetensors"
    path.write_bytes(struct.pack("<Q", max(0, len(header) + lie)) + header + b"\0" * data)
    try:
        found = read_header(path)
    except HeaderError:  # the only error there may be
        return
    end = found.data_start
    for tensor in found.tensors.values():  # what passes tiles the file
        assert tensor.start == end
        assert tensor.nbytes == tensor.dtype.nbytes(tensor.shape)
        end = tensor.end
    assert end == path.stat().st_size


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipping_any_byte_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(
        encode({"a": GOOD, "b": entry("BF16", [2, 2], 8, 16), "__metadata__": {"k": "v"}}, b"\0" * 16)
    )
    place = data.draw(st.integers(0, len(whole) - 17))
    whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "flip.safetensors"
    path.write_bytes(whole)
    try:
        with MappedFile.open(path) as mapped:
            for name in mapped.tensors:
                mapped.view(name).release()
    except HeaderError:  # the only error there may be
        return
