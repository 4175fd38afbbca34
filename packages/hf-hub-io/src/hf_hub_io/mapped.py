"""Tensors of one safetensors file as views of its bytes, without copying and without a tensor library."""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import final

from hf_hub_io.errors import HeaderError
from hf_hub_io.header import Header, TensorInfo, parse_header

_MAP_NORESERVE = 0x4000  # Linux on these processors; Python names the flag from 3.13 on
_KNOWN_MACHINES = ("x86_64", "aarch64")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MappedFile:
    """A safetensors file in memory as the file system has it; pages are read when they are touched.

    Views stay valid as long as somebody holds them, also after `close`. Safe to share between threads.
    """

    header: Header
    _map: mmap.mmap = field(repr=False)

    @classmethod
    def open(cls, path: str | Path, *, writable: bool = False) -> MappedFile:
        """Maps the file at `path` after checking its header.

        `writable` gives private copy-on-write pages: views can be written, the file never changes. Tensor
        libraries that know no read-only tensors want this. Raises HeaderError, TruncatedFileError,
        FileNotFoundError.
        """
        path = Path(path)
        with path.open("rb") as file:
            header = parse_header(file, path)
            return cls(header=header, _map=map_file(file.fileno(), writable=writable))

    @property
    def path(self) -> Path:
        """The file that is mapped."""
        return self.header.file

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """Every tensor of the file, in the order of its bytes."""
        return self.header.tensors

    @property
    def metadata(self) -> Mapping[str, str]:
        """The text metadata that the writer put into the header."""
        return self.header.metadata

    def view(self, name: str) -> memoryview:
        """The bytes of tensor `name`, row-major, little-endian, not copied. Raises HeaderError if unknown."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise HeaderError(
                f"{self.path} has no tensor {name!r}",
                fix=f"use one of its {len(self.tensors)} tensors: {', '.join(list(self.tensors)[:3])}, ...",
                file=self.path,
            )
        return memoryview(self._map)[tensor.start : tensor.end]

    def close(self) -> None:
        """Gives the mapping back now if no view is alive; otherwise the last view does."""
        with contextlib.suppress(BufferError):
            self._map.close()

    def __enter__(self) -> MappedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def map_file(handle: int, *, writable: bool) -> mmap.mmap:
    """Maps a whole open file, read-only or copy-on-write; the handle may be closed afterwards."""
    if writable and sys.platform == "linux" and os.uname().machine in _KNOWN_MACHINES:
        # Without NORESERVE a private writable mapping counts against the commit limit as if it were a copy.
        flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
        return mmap.mmap(handle, 0, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return mmap.mmap(handle, 0, access=mmap.ACCESS_COPY if writable else mmap.ACCESS_READ)
