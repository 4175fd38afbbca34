"""JSON as typed values: parse with the file named in every error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from hf_hub_io.errors import JsonFileError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""What parsing JSON gives."""

JsonLike: TypeAlias = "bool | int | float | str | Sequence[JsonLike] | Mapping[str, JsonLike] | None"
"""What writing JSON takes: like `JsonValue`, with read-only containers, so that a `dict[str, int]` fits."""


class _DuplicateKeyError(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(f"the key {key!r} appears twice")
        found[key] = value
    return found


def parse_json(data: str | bytes, *, source: str, unique_keys: bool = False) -> JsonValue:
    """The value that JSON text holds; `source` is what errors call it, usually a path.

    `unique_keys` refuses an object that says one key twice, where the standard parser keeps the last.
    Raises JsonFileError.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value: JsonValue = json.loads(text, object_pairs_hook=_no_duplicates if unique_keys else None)
    except (ValueError, RecursionError) as error:
        cause = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise JsonFileError(
            f"{source} is not valid JSON: {cause}",
            fix=f"correct {source}, or delete it and fetch it again",
        ) from None
    return value


def parse_json_object(data: str | bytes, *, source: str, unique_keys: bool = False) -> dict[str, JsonValue]:
    """The object that JSON text holds. Raises JsonFileError, also when the text is another kind of value."""
    value = parse_json(data, source=source, unique_keys=unique_keys)
    if not isinstance(value, dict):
        raise JsonFileError(
            f"{source} holds a JSON {type(value).__name__} where an object {{...}} is needed",
            fix=f"correct {source}, or delete it and fetch it again",
        )
    return value


def read_json_object(path: Path) -> dict[str, JsonValue]:
    """The object in the JSON file at `path`. Raises JsonFileError, FileNotFoundError."""
    return parse_json_object(path.read_bytes(), source=str(path))


def dump_json(value: JsonLike, *, indent: int | None = 2, sort_keys: bool = False) -> str:
    """`value` as JSON text in the house form: two-space indent, UTF-8 kept, newline at the end."""
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=False, default=_plain)
    return text + "\n"


def _plain(value: object) -> JsonLike:
    # `json` knows only dict, list and tuple; a read-only mapping is fine to write too.
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")
