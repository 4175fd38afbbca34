"""What can be wrong with a checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from hf_hub_io.errors import HfError


class CheckpointError(HfError):
    """Something about the checkpoint in `folder`."""

    def __init__(self, what: str, *, fix: str = "", folder: Path | None = None) -> None:
        self.folder = folder
        super().__init__(what, fix=fix)


class CheckpointIncompleteError(CheckpointError, FileNotFoundError):
    """A checkpoint folder lacks files, or its manifest: saving it was interrupted, or files were taken away."""


class CheckpointCorruptError(CheckpointError, ValueError):
    """A file of a checkpoint is not what was written."""


class CheckpointWriteError(CheckpointError, OSError):
    """A checkpoint could not be written; the earlier ones are as they were."""


class RngStateError(CheckpointError, ValueError):
    """Saved states of random generators that do not fit this machine."""
