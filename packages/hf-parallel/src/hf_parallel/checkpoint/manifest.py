"""What makes a checkpoint complete: the list of its files with sizes and hashes, and what is not a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import final

import torch.distributed as dist

from hf_hub_io.errors import HfError
from hf_hub_io.jsonio import JsonValue, read_json_object
from hf_parallel.errors import CheckpointDamagedError

MANIFEST_NAME = "parallel_manifest.json"
FORMAT = 1


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """files: size and SHA-256 by name. layout: which ranks wrote it, for people. kinds: of optimizer state there are.

    groups: the optimizer's settings, each with the names of the parameters they are for. state: what the user gave.
    """

    files: Mapping[str, tuple[int, str]]
    layout: str = ""
    kinds: tuple[str, ...] = ()
    groups: Sequence[tuple[Mapping[str, JsonValue], tuple[str, ...]]] = ()
    state: Mapping[str, JsonValue]

    def to_json(self) -> dict[str, JsonValue]:
        """As it is written."""
        return {
            "format": FORMAT,
            "layout": self.layout,
            "files": {name: [size, digest] for name, (size, digest) in self.files.items()},
            "optimizer": {
                "kinds": list(self.kinds),
                "groups": [
                    {"settings": dict(settings), "names": list(names)} for settings, names in self.groups
                ],
            },
            "state": dict(self.state),
        }


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint. Raises CheckpointDamagedError."""
    path = folder / MANIFEST_NAME
    try:
        data = read_json_object(path)
    except FileNotFoundError:
        raise CheckpointDamagedError(
            f"{folder} has no {MANIFEST_NAME}: it was never completed, or something else wrote it", fix=FIX
        ) from None
    except HfError as error:
        raise CheckpointDamagedError(error.what, fix=FIX) from error
    match data:
        case {
            "format": 1,
            "layout": str(layout),
            "files": dict(files),
            "optimizer": {"kinds": list(kinds), "groups": list(groups)},
            "state": dict(state),
        }:
            return Manifest(
                files={name: _file(path, name, entry) for name, entry in files.items()},
                layout=layout,
                kinds=tuple(map(str, kinds)),
                groups=[_group(path, group) for group in groups],
                state=state,
            )
        case _:
            raise CheckpointDamagedError(f"{path} is not a manifest of format {FORMAT}", fix=FIX)


FIX = "resume from an earlier checkpoint"


def _file(path: Path, name: str, entry: JsonValue) -> tuple[int, str]:
    match entry:
        case [int(size), str(digest)] if Path(name).name == name:
            return size, digest
        case _:
            raise CheckpointDamagedError(f"{path}: the entry of {name!r} is {entry!r}", fix=FIX)


def _group(path: Path, group: JsonValue) -> tuple[Mapping[str, JsonValue], tuple[str, ...]]:
    match group:
        case {"settings": dict(settings), "names": list(names)}:
            return settings, tuple(map(str, names))
        case _:
            raise CheckpointDamagedError(f"{path}: a group of the optimizer is {group!r}", fix=FIX)


def describe(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def verified(folder: Path) -> Manifest:
    """The manifest of a checkpoint whose files are as they were written; ranks of a group share the reading.

    Raises:
        CheckpointDamagedError: something is missing or changed; the same on every rank.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    found: tuple[Manifest | None, str] = (None, "")
    try:
        manifest = read_manifest(folder)
        found = (manifest, _wrong(folder, sorted(manifest.files)[rank::world], manifest))
    except CheckpointDamagedError as error:
        found = (None, error.what)
    except OSError as error:
        found = (None, f"{type(error).__name__}: {error}")
    told = [found[1]]
    if world > 1:
        told = [""] * world
        dist.all_gather_object(told, found[1])
    if wrong := list(dict.fromkeys(filter(None, told))):
        raise CheckpointDamagedError("\n  ".join(wrong), fix=FIX)
    assert found[0] is not None, "without a manifest there is something to tell"
    return found[0]


def _wrong(folder: Path, names: Sequence[str], manifest: Manifest) -> str:
    for name in names:
        path, (size, digest) = folder / name, manifest.files[name]
        if not path.is_file():
            return f"{folder} lacks {name}"
        if (actual := path.stat().st_size) != size:
            return f"{path} has {actual:,} bytes, and {size:,} were written"
        if describe(path)[1] != digest:
            return f"{path} is not what was written: its SHA-256 is another"
    return ""
