"""The list of a checkpoint's files with sizes and hashes, written when everything else is on the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hf_hub_io import JsonValue, atomic_write_json, read_json_object
from hf_hub_io.errors import HfError
from hf_train.checkpoint.errors import CheckpointCorruptError, CheckpointIncompleteError

MANIFEST_NAME = "checkpoint_manifest.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestEntry:
    """One file: its size in bytes, and the SHA-256 of its content in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The files of a checkpoint, by path relative to it with `/`."""

    files: dict[str, ManifestEntry]

    @property
    def nbytes(self) -> int:
        """Size of the checkpoint."""
        return sum(entry.size for entry in self.files.values())


def describe(folder: Path) -> Manifest:
    """The manifest of what `folder` holds now; reads every byte, several files at a time."""
    names = sorted(_names(folder))
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        entries = list(pool.map(lambda name: _entry(folder / name), names))
    return Manifest(files=dict(zip(names, entries, strict=True)))


def write_manifest(folder: Path) -> Manifest:
    """Describe `folder` and write that into it; from here on the checkpoint is complete."""
    manifest = describe(folder)
    files: dict[str, JsonValue] = {
        name: {"size": entry.size, "sha256": entry.sha256} for name, entry in manifest.files.items()
    }
    atomic_write_json(folder / MANIFEST_NAME, {"format": _FORMAT, "files": files})
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest that `folder` carries.

    Raises:
        CheckpointIncompleteError: there is none.
        CheckpointCorruptError: it is not a manifest that this version reads.
    """
    path = folder / MANIFEST_NAME
    try:
        data = read_json_object(path)
    except FileNotFoundError:
        raise CheckpointIncompleteError(
            f"{folder} has no {MANIFEST_NAME}: it was never completed, or written by something else",
            fix="resume from an earlier checkpoint",
            folder=folder,
        ) from None
    except HfError as error:
        raise CheckpointCorruptError(
            error.what, fix="resume from an earlier checkpoint", folder=folder
        ) from error
    files = data.get("files")
    if data.get("format") != _FORMAT or not isinstance(files, dict):
        raise CheckpointCorruptError(f"{path} is not a manifest of format {_FORMAT}", folder=folder)
    return Manifest(files={name: _read_entry(name, value, path) for name, value in files.items()})


def _read_entry(name: str, value: JsonValue, path: Path) -> ManifestEntry:
    match value:
        case {"size": int(size), "sha256": str(sha256)} if not isinstance(size, bool):
            return ManifestEntry(size=size, sha256=sha256)
        case _:
            raise CheckpointCorruptError(f"{path}: the entry of {name!r} is {value!r}", folder=path.parent)


def verify(folder: str | Path, *, hashes: bool = True) -> Manifest:
    """The manifest of a checkpoint all of whose files are there and, with `hashes`, unchanged.

    Without `hashes` only sizes are compared, which takes microseconds. Files that the manifest does not list
    are left alone: a user may have put them there.

    Raises:
        CheckpointIncompleteError: the manifest or a file of it is missing.
        CheckpointCorruptError: a file has another size or content; the message names it.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise CheckpointIncompleteError(
                f"{folder} lacks {name}", fix="resume from an earlier checkpoint", folder=folder
            ) from None
        if size != entry.size:
            raise CheckpointCorruptError(
                f"{path} has {size:,} bytes, and {entry.size:,} were written",
                fix="resume from an earlier checkpoint",
                folder=folder,
            )
    if hashes:
        found = describe(folder)
        for name, entry in manifest.files.items():
            if found.files[name].sha256 != entry.sha256:
                raise CheckpointCorruptError(
                    f"{folder / name} is not what was written: its SHA-256 is {found.files[name].sha256}, "
                    f"the manifest says {entry.sha256}",
                    fix="resume from an earlier checkpoint",
                    folder=folder,
                )
    return manifest


def _names(folder: Path) -> Iterator[str]:
    for root, _, files in os.walk(folder):
        for file in files:
            name = Path(root, file).relative_to(folder).as_posix()
            if name != MANIFEST_NAME:
                yield name


def _entry(path: Path) -> ManifestEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return ManifestEntry(size=file.tell(), sha256=digest.hexdigest())
