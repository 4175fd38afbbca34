"""The folder that checkpoints live in: complete one, find the last complete one, remove the old ones.

```
output_dir/checkpoint-500/        a complete checkpoint: files, and a manifest written after all of them
output_dir/.checkpoint-500.new-*  one being written; it gets its name when it is complete
output_dir/.trash-*               one being removed
```
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hf_hub_io import AtomicDirectory, MappedFile
from hf_hub_io.errors import HfError
from hf_train.callbacks.state import TRAINER_STATE_NAME, TrainerState
from hf_train.checkpoint.errors import CheckpointError, CheckpointWriteError
from hf_train.checkpoint.manifest import MANIFEST_NAME, verify, write_manifest

PREFIX = "checkpoint"
_NAME = re.compile(rf"{PREFIX}-(\d+)")
_TRASH = ".trash-"
_SENTINEL = "checkpoint-is-incomplete.txt"
"""The peer leaves this in a folder while it saves on SIGTERM."""


def checkpoint_folder(output_dir: str | Path, step: int) -> Path:
    """Where the checkpoint of `step` belongs."""
    return Path(output_dir) / f"{PREFIX}-{step}"


@contextlib.contextmanager
def commit_checkpoint(folder: str | Path) -> Iterator[Path]:
    """An empty folder to write a checkpoint into; it becomes `folder` when the block ends well.

    Then every file is on the disk and listed in the manifest. When the block fails, or the process dies at any
    moment, `folder` is as it was before. In a run of several processes the main one enters the block and tells
    the others the path; all of them must have written before it leaves.

    Raises:
        CheckpointWriteError: the disk is full, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        with AtomicDirectory(folder, replaces=("*",)) as stage:
            yield stage
            write_manifest(stage)
    except HfError:
        raise
    except OSError as error:
        raise CheckpointWriteError(
            f"{folder} could not be saved: {error.strerror or error}",
            fix="free some space or set save_total_limit; the earlier checkpoints are intact",
            folder=folder,
        ) from error


def checkpoints(output_dir: str | Path) -> list[tuple[int, Path]]:
    """Step and folder of everything called `checkpoint-N`, complete or not, ascending by step."""
    output_dir = Path(output_dir)
    if not output_dir.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in output_dir.iterdir() if path.is_dir())
    return sorted((int(match[1]), path) for match, path in found if match is not None)


def is_complete(folder: str | Path) -> bool:
    """Whether a checkpoint can be resumed from: all files of its manifest are there with their sizes.

    A folder without a manifest counts if the peer wrote it and came to its end: it has a readable
    `trainer_state.json` and weights that are as long as their headers say.
    """
    folder = Path(folder)
    try:
        if (folder / MANIFEST_NAME).exists():
            verify(folder, hashes=False)
            return True
        return _peer_completed(folder)
    except (HfError, OSError):
        return False


def last_complete(output_dir: str | Path) -> Path | None:
    """The complete checkpoint of the highest step, None if there is none."""
    return next((path for _, path in reversed(checkpoints(output_dir)) if is_complete(path)), None)


def rotate(output_dir: str | Path, limit: int | None, *, best: str | Path | None = None) -> list[Path]:
    """Remove old checkpoints until `limit` are left; the folders removed, oldest first.

    The newest complete one and `best` stay, so with a limit of 1 there may be two. A folder vanishes under its
    name in one step, so none is ever seen half empty. `limit` None or below 1 removes nothing.
    """
    output_dir = Path(output_dir)
    for leftover in output_dir.glob(f"{_TRASH}*"):  # of a removal that was interrupted
        shutil.rmtree(leftover, ignore_errors=True)
    if limit is None or limit < 1:
        return []
    present = [path for _, path in checkpoints(output_dir)]
    newest = last_complete(output_dir)
    kept = {path.resolve() for path in (newest, None if best is None else Path(best)) if path is not None}
    surplus = len(present) - max(limit, len(kept & {path.resolve() for path in present}))
    removed = [path for path in present if path.resolve() not in kept][: max(surplus, 0)]
    for path in removed:
        remove_checkpoint(path)
    return removed


def step_of(folder: str | Path) -> int:
    """The step in the name of a checkpoint folder. Raises CheckpointError if it has none."""
    match = _NAME.fullmatch(Path(folder).name)
    if match is None:
        raise CheckpointError(f"{folder} is not called {PREFIX}-N", folder=Path(folder))
    return int(match[1])


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint; it vanishes under its name in one step."""
    trash = folder.with_name(f"{_TRASH}{folder.name}-{os.urandom(4).hex()}")
    os.rename(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _peer_completed(folder: Path) -> bool:
    if (folder / _SENTINEL).exists():
        return False
    weights = [*folder.glob("*.safetensors")]
    for path in weights:
        MappedFile.open(path).close()
    TrainerState.load_from_json(folder / TRAINER_STATE_NAME)
    sharded = any(folder.glob("pytorch_model_fsdp*")) or any(folder.glob("global_step*"))
    return bool(weights) or sharded or (folder / "pytorch_model.bin").exists()
