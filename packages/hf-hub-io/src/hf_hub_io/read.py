"""Many byte ranges of files into the caller's memory, several at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hf_hub_io.errors import TruncatedFileError

if TYPE_CHECKING:
    from typing_extensions import Buffer  # in collections.abc from Python 3.12

_CHUNK_BYTES = (
    32 << 20
)  # large enough for full disk speed, small enough to spread one big tensor over threads


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeRead:
    """Bytes of `file` from `start` on, to fill the writable buffer `into` completely."""

    file: Path
    start: int
    into: Buffer


def read_ranges(reads: Iterable[RangeRead], *, threads: int | None = None) -> int:
    """Fills every buffer and gives the number of bytes read.

    Ranges are split into chunks and read in file order by `threads` threads (None: up to 8, by processor
    count). Raises TruncatedFileError when a file ends too early, FileNotFoundError; buffers may then be
    partly filled.
    """
    chunks = sorted(_chunks(reads), key=lambda chunk: (str(chunk[0]), chunk[1]))
    threads = threads or min(8, os.cpu_count() or 1)
    if threads == 1 or len(chunks) < 2:
        return sum(map(_read, chunks))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=min(threads, len(chunks))) as pool:
        futures = [pool.submit(_read, chunk) for chunk in chunks]
        try:
            return sum(future.result() for future in futures)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _chunks(reads: Iterable[RangeRead]) -> Iterator[tuple[Path, int, memoryview]]:
    for read in reads:
        view = memoryview(read.into)
        if view.readonly or not view.c_contiguous:
            raise ValueError(f"the buffer for {read.file} at {read.start} is not writable and contiguous")
        if view.nbytes == 0:
            continue
        view = view.cast("B")
        for offset in range(0, view.nbytes, _CHUNK_BYTES):
            yield read.file, read.start + offset, view[offset : offset + _CHUNK_BYTES]


def _read(chunk: tuple[Path, int, memoryview]) -> int:
    path, start, view = chunk
    filled = 0
    # One handle a chunk: no shared file position, and opening costs nothing next to reading 32 MB.
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while filled < len(view):
            count = file.readinto(view[filled:])
            if not count:
                raise TruncatedFileError(
                    f"{path} ends at byte {start + filled:,}, "
                    f"inside a read of {len(view):,} bytes from {start:,}",
                    fix=f"delete {path} and fetch it again",
                    file=path,
                )
            filled += count
    return filled
