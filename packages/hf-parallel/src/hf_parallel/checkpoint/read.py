"""Reading tensors of a DCP checkpoint: its table of contents without running code, and pieces into memory."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, final

from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from hf_parallel.checkpoint.boxes import BoxLoadPlanner, Piece
from hf_parallel.checkpoint.manifest import FIX
from hf_parallel.errors import CheckpointDamagedError, CheckpointMismatchError

METADATA_NAME = ".metadata"
SHOWN = 5


def read_contents(folder: Path) -> Metadata:
    """Which tensors there are, and which file has which box. Raises CheckpointDamagedError."""
    path = folder / METADATA_NAME
    try:
        with path.open("rb") as file:
            made = _Contents(file).load()
    except FileNotFoundError:
        raise CheckpointDamagedError(f"{folder} has no {METADATA_NAME}: no DCP checkpoint", fix=FIX) from None
    except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise CheckpointDamagedError(f"{path} cannot be read: {error}", fix=FIX) from error
    if not isinstance(made, Metadata):
        raise CheckpointDamagedError(f"{path} holds a {type(made).__name__}, no table of contents", fix=FIX)
    return made


@final
class _Contents(pickle.Unpickler):
    """DCP keeps its table of contents as a pickle; this reads one, and makes nothing but what belongs in it."""

    MODULES = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")
    NAMES = frozenset(
        {
            ("torch", "Size"),
            ("torch", "device"),
            ("torch.serialization", "_get_layout"),
            ("torch._utils", "_get_dtype"),
            ("collections", "OrderedDict"),
            ("pathlib", "PosixPath"),
            ("pathlib", "WindowsPath"),
            ("pathlib._local", "PosixPath"),
            ("pathlib._local", "WindowsPath"),
        }
    )

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> object:
        kept = (module, name) in self.NAMES
        if module in self.MODULES and name.lstrip("_")[:1].isupper() and "." not in name:
            kept = True
        if not kept and not _is_dtype(module, name):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no table of contents needs")
        return super().find_class(module, name)


def _is_dtype(module: str, name: str) -> bool:
    import torch

    return module == "torch" and isinstance(getattr(torch, name, None), torch.dtype | torch.memory_format)


def compare(folder: Path, contents: Metadata, pieces: Sequence[Piece]) -> None:
    """See that all pieces are there. Raises CheckpointMismatchError, which names some that are not."""
    wrong = []
    for piece in pieces:
        match contents.state_dict_metadata.get(piece.name):
            case TensorStorageMetadata(size=size) if tuple(size) == piece.shape:
                continue
            case TensorStorageMetadata(size=size):
                wrong.append(f"{piece.name} is {tuple(size)} there and {piece.shape} here")
            case _:
                wrong.append(f"{piece.name} is not there")
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise CheckpointMismatchError(
            f"{folder} is a checkpoint of something else:\n  " + "\n  ".join(wrong[:SHOWN]) + more,
            fix="build the model and optimizer that were saved; the folder's config.json describes the model",
        )


def read_pieces(folder: Path, contents: Metadata, pieces: Sequence[Piece]) -> None:
    """Fill the memory of `pieces`; ranks do not wait for each other. They were compared before."""
    reader, planner = FileSystemReader(folder), BoxLoadPlanner(pieces)
    reader.set_up_storage_reader(contents, is_coordinator=True)
    planner.set_up_planner({}, contents, is_coordinator=True)
    plan = reader.prepare_local_plan(planner.create_local_plan())
    reader.read_data(plan, planner).wait()
