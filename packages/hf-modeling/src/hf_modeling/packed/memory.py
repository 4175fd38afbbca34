"""Giving back the memory of weights that were packed: pages of a mapped file can be read again."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

_HEADER = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)")
_DONTNEED, _NOHUGEPAGE = 4, 15


@dataclass(frozen=True, slots=True)
class Mapping:
    """A range of addresses that shows a file, no page of which was written to."""

    start: int
    stop: int


def clean_mappings() -> list[Mapping]:
    """File mappings of this process without a private page; none where the system does not tell."""
    try:
        lines = Path("/proc/self/smaps").read_text().splitlines()
    except OSError:
        return []
    found: list[Mapping] = []
    current: Mapping | None = None
    for line in lines:
        if (header := _HEADER.match(line)) is not None:
            start, stop, inode = header.groups()
            current = Mapping(int(start, 16), int(stop, 16)) if inode != "0" else None
        elif current is not None and line.startswith("Anonymous:"):
            if line.split()[1] == "0":
                found.append(current)
            current = None
    return found


def is_mapped(tensor: Tensor, mappings: Iterable[Mapping]) -> bool:
    """Whether all of a tensor's memory shows a file, unchanged."""
    start = tensor.data_ptr()
    return any(m.start <= start and start + tensor.nbytes <= m.stop for m in mappings)


def release(tensors: Iterable[Tensor], mappings: list[Mapping]) -> int:
    """Drop the pages of tensors that show a file; a later read reads the file. Returns bytes dropped."""
    if not sys.platform.startswith("linux"):
        return 0
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    dropped = 0
    for tensor in tensors:
        if is_mapped(tensor, mappings):
            # Whole pages only: what shares a page with a neighbour stays.
            start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
            if length <= 0:
                continue
            # A row that is looked up later, or a check, should bring back its page and not two megabytes.
            madvise(start, length, _NOHUGEPAGE)
            if madvise(start, length, _DONTNEED) == 0:
                dropped += length
    return dropped


def available_bytes() -> int | None:
    """Memory that can be used without swapping; None where the system does not tell."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return None if match is None else int(match[1]) * 1024
