"""`LoadReport`: what a load did, tensor by tensor, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """Where a model's weights came from and what became of every tensor in the files.

    `consumed + len(ignored) + len(unexpected)` is the number of tensors in `files`.
    """

    source: str
    """The folder or Hub id, with the commit where there is one."""
    files: tuple[Path, ...]
    consumed: int
    """Tensors on disk that became weights."""
    ignored: Mapping[str, str]
    """Tensors on disk that a named rule leaves out, with its reason."""
    unexpected: tuple[str, ...]
    """Tensors on disk with no place in the model, which the caller allowed."""
    initialized: tuple[str, ...]
    """Weights that the checkpoint lacks, which the caller allowed: they have random values."""
    tied: Mapping[str, str]
    """Weights that share another one's memory."""
    bytes_by_dtype: Mapping[torch.dtype, int]
    """Bytes of weights in memory."""
    bytes_mapped: int
    """Bytes of weights that lie in the file's own pages: read when first touched, never copied."""
    seconds: float
    on_disk: tuple[str, ...] = ()
    """Weights that a device map leaves on disk: they are read anew for each call."""
    unknown_config_keys: tuple[str, ...] = ()
    """Keys of config.json that no part of this library knows; they are kept when saving."""

    @property
    def nbytes(self) -> int:
        """Bytes of weights in memory."""
        return sum(self.bytes_by_dtype.values())

    def __str__(self) -> str:
        dtypes = ", ".join(
            f"{str(dtype).removeprefix('torch.')} {nbytes / 1e6:,.1f} MB"
            for dtype, nbytes in self.bytes_by_dtype.items()
        )
        lines = [
            f"{self.source}: {self.consumed} tensors, files: {len(self.files)}, {self.seconds:.3f} s",
            f"  weights      {dtypes} ({self.bytes_mapped / 1e6:,.1f} MB mapped, not copied)",
        ]
        why: dict[str, list[str]] = {}
        for name, reason in self.ignored.items():
            why.setdefault(reason, []).append(name)
        lines += [f"  left out     {len(names)} ({reason}): {_few(names)}" for reason, names in why.items()]
        for label, names in (
            ("unexpected", self.unexpected),
            ("initialized", self.initialized),
            ("on disk", self.on_disk),
            ("config keys", self.unknown_config_keys),
        ):
            if names:
                lines.append(f"  {label:12} {len(names)}: {_few(names)}")
        if self.tied:
            lines.append("  tied         " + _few([f"{name} = {owner}" for name, owner in self.tied.items()]))
        return "\n".join(lines)


def _few(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
