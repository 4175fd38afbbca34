"""Files that are either the old ones or the new ones, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hf_hub_io.jsonio import JsonLike, dump_json


@contextlib.contextmanager
def atomic_open(path: str | Path) -> Iterator[BinaryIO]:
    """A new binary file that appears at `path` when the block ends well, and never otherwise.

    The bytes are on the disk (fsync) before the name changes. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.tmp")
    # os.open rather than tempfile, so that the file gets the user's usual permissions and not 0600.
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in a folder durable, on systems where a folder can be synced."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse to sync a folder; the data itself is synced
        pass
    finally:
        os.close(handle)


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Writes `data` to `path` so that a reader sees the old content or the new one, never a part."""
    with atomic_open(path) as file:
        file.write(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8 with `\\n` line ends; atomic as `atomic_write_bytes`."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(
    path: str | Path, value: JsonLike, *, indent: int | None = 2, sort_keys: bool = False
) -> None:
    """Writes `value` as JSON; atomic as `atomic_write_bytes`."""
    atomic_write_text(path, dump_json(value, indent=indent, sort_keys=sort_keys))
