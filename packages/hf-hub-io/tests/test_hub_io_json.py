"""JSON errors name the file; writing is atomic and round trips."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_hub_io import JsonValue, atomic_write_json, dump_json, parse_json, parse_json_object, read_json_object
from hf_hub_io.errors import JsonFileError

VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_round_trip(value: JsonValue) -> None:
    assert parse_json(dump_json(value), source="x") == value


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'a': 1}", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b'{"a": 1} x']
)
def test_broken_text_names_the_file(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text)
    with pytest.raises(JsonFileError, match=r"config\.json is not valid JSON"):
        read_json_object(path)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"'])
def test_an_object_is_asked_for(text: str) -> None:
    with pytest.raises(JsonFileError, match=r"config holds a JSON .* where an object"):
        parse_json_object(text, source="config")


def test_duplicate_keys_are_refused_where_asked() -> None:
    text = '{"a": 1, "b": {"c": 1, "c": 2}}'
    assert parse_json_object(text, source="x")["b"] == {"c": 2}
    with pytest.raises(JsonFileError, match="'c' appears twice"):
        parse_json_object(text, source="x", unique_keys=True)


def test_read_only_mappings_can_be_written(tmp_path: Path) -> None:
    atomic_write_json(
        tmp_path / "a.json", MappingProxyType({"é": (1, 2), "x": MappingProxyType({"y": None})})
    )
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "é": [\n    1,\n    2\n  ],\n  "x": {\n    "y": null\n  }\n}\n'


def test_what_is_not_json_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic_write_json(path, {"old": True})
    with pytest.raises(TypeError, match="set is not a JSON value"):
        atomic_write_json(path, {"new": {1, 2}})  # type: ignore[dict-item]  # the very mistake under test
    assert read_json_object(path) == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
