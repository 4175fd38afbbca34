"""Inputs of commands: literal values, text, JSON lines or CSV, read line by line."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from hf_hub_io.errors import HfError
from hf_hub_io.jsonio import JsonValue, parse_json


class Format(StrEnum):
    """How a file of inputs is written."""

    AUTO = "auto"
    TEXT = "text"
    JSONL = "jsonl"
    CSV = "csv"


class InputFileError(HfError, ValueError):
    """A file of inputs, or a line of it, that cannot be read."""


def read_inputs(
    literals: list[str] | None, file: Path | None, format: Format, column: str | None
) -> Iterator[JsonValue]:
    """Inputs one by one: the literals, else the lines of the file, else of standard input.

    A literal that starts like a JSON object or list is parsed. Raises InputFileError with the line's number.
    """
    if literals:
        return (_literal(text, number) for number, text in enumerate(literals, 1))
    if file is not None:
        if not file.is_file():
            raise InputFileError(f"there is no file {str(file)!r}", fix="check the path after --file")
        return _from_file(file, format, column)
    if sys.stdin.isatty():
        raise InputFileError("there is no input", fix="pass --input TEXT or --file PATH, or pipe lines in")
    return _parse(sys.stdin, "standard input", format, column)


def parse_options(settings: list[str], *, dotted: bool = False) -> dict[str, JsonValue]:
    """`name=value` settings; a value that is JSON is parsed, any other is text. Raises InputFileError.

    With `dotted` a name may be a path such as `training.max_steps`.
    """
    options: dict[str, JsonValue] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        parts = name.split(".") if dotted else [name]
        if not equals or not all(part.isidentifier() for part in parts):
            raise InputFileError(
                f"--set {setting} is not name=value", fix="write, for example, --set top_k=3"
            )
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def _from_file(file: Path, format: Format, column: str | None) -> Iterator[JsonValue]:
    if format is Format.AUTO:
        format = {".csv": Format.CSV, ".jsonl": Format.JSONL, ".txt": Format.TEXT}.get(file.suffix, format)
    with file.open(encoding="utf-8", newline="" if format is Format.CSV else None) as lines:
        yield from _parse(lines, str(file), format, column)


def _parse(lines: TextIO, name: str, format: Format, column: str | None) -> Iterator[JsonValue]:
    if format is Format.CSV:
        return _from_csv(lines, name, column)
    return _from_lines(lines, name, format, column)


def _from_lines(lines: Iterable[str], name: str, format: Format, column: str | None) -> Iterator[JsonValue]:
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if format is Format.AUTO:
            format = Format.JSONL if text.lstrip()[0] in '{["' else Format.TEXT
        if format is Format.TEXT:
            yield text
        else:
            yield _pick(parse_json(text, source=f"{name}, line {number}"), f"{name}, line {number}", column)


def _from_csv(lines: TextIO, name: str, column: str | None) -> Iterator[JsonValue]:
    reader = csv.DictReader(lines, strict=True)
    columns = reader.fieldnames or []
    chosen = column if column is not None or len(columns) != 1 else columns[0]
    if chosen is not None and chosen not in columns:
        raise InputFileError(f"{name} has no column {chosen!r}", fix=f"its columns are {', '.join(columns)}")
    for row in reader:
        yield row[chosen] if chosen is not None else dict(row)


def _pick(value: JsonValue, where: str, column: str | None) -> JsonValue:
    if column is None:
        return value
    if not isinstance(value, dict) or column not in value:
        keys = ", ".join(value) if isinstance(value, dict) else f"it is a {type(value).__name__}"
        raise InputFileError(f"{where} has no key {column!r}", fix=f"what is there: {keys}")
    return value[column]


def _literal(text: str, number: int) -> JsonValue:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return parse_json(text, source=f"--input number {number}")
        except HfError:
            return text  # text may well begin with a bracket
    return text
