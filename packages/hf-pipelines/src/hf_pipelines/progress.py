"""An optional progress bar over a stream of results."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TypeVar

from hf_hub_io.errors import MissingPackageError

T = TypeVar("T")


def with_progress(results: Iterator[T], total: int | None) -> Iterator[T]:
    """The same results, counted by a tqdm bar on stderr."""
    try:
        tqdm = import_module("tqdm.auto").tqdm
    except ModuleNotFoundError as missing:
        raise MissingPackageError("tqdm", "a progress bar") from missing
    with tqdm(total=total, unit=" inputs", dynamic_ncols=True) as bar:
        for result in results:
            yield result
            bar.update()
