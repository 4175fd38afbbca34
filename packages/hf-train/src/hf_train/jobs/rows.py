"""Rows of a dataset from a file or the Hub."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hf_hub_io.errors import MissingPackageError
from hf_train.jobs.job import JobError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt")


def read_rows(source: str, folder: Path, *, split: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The rows of a file beside the run's description, or of a dataset on the Hub.

    A text file has one row a line, in the column `text`. Raises JobError naming file and line.
    """
    path = folder / source
    if Path(source).suffix in SUFFIXES:
        if not path.is_file():
            raise JobError(
                f"there is no file {str(path)!r}", fix="paths begin at the folder of the run's file"
            )
        rows = _read_file(path)
    else:
        rows = _from_hub(source, split, limit)
    if not rows:
        raise JobError(f"{source} has no rows")
    return rows[:limit]


def columns(rows: Sequence[Mapping[str, Any]], source: str, **names: str) -> list[tuple[Any, ...]]:
    """The values of some columns; a missing one is an error that lists what is there."""
    for use, name in names.items():
        if name not in rows[0]:
            raise JobError(
                f"{source} has no column {name!r}", fix=f"set data.{use} to one of: {', '.join(rows[0])}"
            )
    return [tuple(row[name] for name in names.values()) for row in rows]


def _read_file(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".txt":
        return [{"text": line} for line in path.read_text("utf-8").splitlines() if line.strip()]
    if path.suffix in (".csv", ".tsv"):
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True))
    if path.suffix == ".json":
        content = json.loads(path.read_text("utf-8"))
        rows = content.get("data") if isinstance(content, dict) else content
        if not isinstance(rows, list):
            raise JobError(f"{path} holds no list of rows")
        return rows
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise JobError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise JobError(f"{path}, line {number} holds a {type(row).__name__}, expected an object")
        rows.append(row)
    return rows


def _from_hub(source: str, split: str, limit: int | None) -> list[dict[str, Any]]:
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise MissingPackageError("datasets", f"the dataset {source!r}") from error
    name, _, chosen = source.partition(":")
    dataset = datasets.load_dataset(name, split=chosen or split)
    return list(dataset.select(range(min(limit, len(dataset)))) if limit is not None else dataset)
