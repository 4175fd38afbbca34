"""Writing a checkpoint: every rank its own share, the whole visible in one step when all of them are done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, final

import torch.distributed as dist
from torch.distributed.checkpoint import state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.optim import Optimizer

from hf_config import GenerationConfig, PreTrainedConfig
from hf_hub_io.atomic import atomic_write_json
from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.jsonio import JsonValue
from hf_modeling.model import PreTrainedModel
from hf_parallel.checkpoint.boxes import BoxSavePlanner, Piece
from hf_parallel.checkpoint.manifest import MANIFEST_NAME, Manifest, describe
from hf_parallel.checkpoint.pieces import (
    OPTIMIZER,
    grouped,
    optimizer_pieces,
    settings_by_name,
    weight_pieces,
)
from hf_parallel.parallel import Parallel
from hf_parallel.save import SaveFailedError, described

NOTHING: Mapping[str, JsonValue] = {}


def save_checkpoint(
    parallel: Parallel[PreTrainedModel],
    folder: str | Path,
    optimizer: Optimizer | None = None,
    *,
    state: Mapping[str, JsonValue] = NOTHING,
) -> Manifest:
    """Write weights, the optimizer's state and `state`, for `load_checkpoint` on any layout; all ranks call it.

    Every rank writes what it holds, and what several hold is written once. The folder, which all ranks must
    see, changes in one step: a run that is killed while it writes leaves it as it was.

    state: what the run needs beside tensors to go on, such as the number of steps; that of rank 0 is kept.

    Raises:
        SaveFailedError: some rank could not write; all raise it.
        CheckpointMismatchError: the optimizer's state has a form that no other layout could read.
    """
    return write(Snapshot.of(parallel, optimizer, state), Path(folder))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What a rank is about to write."""

    pieces: tuple[Piece, ...]
    settings: tuple[tuple[str, dict[str, JsonValue]], ...]
    layout: str
    config: PreTrainedConfig
    generation: GenerationConfig | None
    state: Mapping[str, JsonValue]

    @classmethod
    def of(
        cls, parallel: Parallel[PreTrainedModel], optimizer: Optimizer | None, state: Mapping[str, JsonValue]
    ) -> Self:
        """The run as it is; tensors are not copied."""
        pieces = weight_pieces(parallel)
        config = described(parallel.kind, parallel.model.config, pieces[0].local.dtype)
        return cls(
            pieces=(*pieces, *([] if optimizer is None else optimizer_pieces(parallel, optimizer))),
            settings=() if optimizer is None else tuple(settings_by_name(parallel, optimizer)),
            layout=str(parallel.plan.layout),
            config=config,
            generation=parallel.model.generation_config,
            state=state,
        )

    def copied(self) -> Self:
        """With tensors in main memory that training leaves alone."""
        pieces = (replace(piece, local=piece.local.to("cpu", copy=True)) for piece in self.pieces)
        return replace(self, pieces=tuple(pieces))


def write(snapshot: Snapshot, folder: Path, group: dist.ProcessGroup | None = None) -> Manifest:
    """Write what all ranks of `group` have. Raises SaveFailedError."""
    lead = dist.get_rank(group) == 0
    with _stage(folder, group, lead=lead) as stage:
        failure, manifest = "", None
        try:
            state_dict_saver.save(
                {},
                storage_writer=FileSystemWriter(stage),
                planner=BoxSavePlanner(snapshot.pieces),
                process_group=group,
            )
        except (CheckpointException, OSError) as error:
            failure = f"{type(error).__name__}: {error}"
        found = _gathered(
            (failure, _own_files(stage, dist.get_rank(group)), snapshot.settings, _kinds(snapshot)), group
        )
        if failures := [failed for failed, *_ in found if failed]:
            raise SaveFailedError(
                f"the checkpoint could not be written: {failures[0]}", fix="see the message"
            )
        if lead:
            manifest = Manifest(
                files={name: entry for _, files, _, _ in found for name, entry in files.items()},
                layout=snapshot.layout,
                kinds=tuple(dict.fromkeys(kind for *_, kinds in found for kind in kinds)),
                groups=grouped([pair for _, _, settings, _ in found for pair in settings]),
                state=snapshot.state,
            )
            snapshot.config.save_pretrained(stage)
            if snapshot.generation is not None:
                snapshot.generation.save_pretrained(stage)
            extra = {path.name: describe(path) for path in stage.iterdir() if path.name not in manifest.files}
            manifest = replace(manifest, files={**manifest.files, **extra})
            atomic_write_json(stage / MANIFEST_NAME, manifest.to_json())
        heard: list[Manifest | None] = [manifest]
        dist.broadcast_object_list(heard, group=group, group_src=0)
    assert heard[0] is not None, "rank 0 made it"
    return heard[0]


_Told = tuple[str, dict[str, tuple[int, str]], tuple[tuple[str, dict[str, JsonValue]], ...], tuple[str, ...]]


def _gathered(mine: _Told, group: dist.ProcessGroup | None) -> list[_Told]:
    told: list[_Told] = [mine] * dist.get_world_size(group)
    dist.all_gather_object(told, mine, group=group)
    return told


def _own_files(stage: Path, rank: int) -> dict[str, tuple[int, str]]:
    return {path.name: describe(path) for path in stage.glob(f"__{rank}_*.distcp")}


def _kinds(snapshot: Snapshot) -> tuple[str, ...]:
    names = (
        piece.name.removeprefix(OPTIMIZER) for piece in snapshot.pieces if piece.name.startswith(OPTIMIZER)
    )
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


@contextmanager
def _stage(folder: Path, group: dist.ProcessGroup | None, *, lead: bool) -> Iterator[Path]:
    """A folder beside `folder` that all ranks write to; rank 0 lets it take its place. Raises SaveFailedError."""
    made = AtomicDirectory(folder, replaces=("*",))
    told = ["", ""]
    if lead:
        try:
            told[0] = str(made.__enter__())
        except OSError as error:
            told[1] = f"{type(error).__name__}: {error}"
    dist.broadcast_object_list(told, group=group, group_src=0)
    if told[1]:
        raise SaveFailedError(f"the checkpoint could not be written: {told[1]}", fix="give another folder")
    try:
        yield Path(told[0])
    except BaseException as error:
        if lead:
            made.__exit__(type(error), error, error.__traceback__)
        raise
    if lead:
        made.__exit__(None, None, None)
    dist.barrier(group)  # no rank goes on before the folder is there
