"""What a checkpoint holds, and how it is written. The layout is the peer's, with a few files more.

```
checkpoint-500/
    config.json model.safetensors ...   the model, as `from_pretrained` reads it; the processing class's files
    optimizer.pt scheduler.pt scaler.pt states, in the peer's form
    rng_state.pth                       random generators (rng_state_{rank}.pth of several processes)
    trainer_state.json                  where the run stands
    training_args.bin                   the arguments, for the peer's tools; never read here
    training_args.json                  the arguments, with where each value came from
    data_state.pt                       how far the data was taken
    progress.json                       what the next log says of the steps since the last one
    ema.pt                              averaged weights, if there are some
    checkpoint_manifest.json            sizes and hashes of all of these, written last
```
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import distributed as dist
from torch import nn

from hf_train.arguments import resolve
from hf_train.callbacks import TRAINER_STATE_NAME, TrainerState
from hf_train.checkpoint import (
    CheckpointWriteError,
    capture_rng,
    checkpoint_folder,
    commit_checkpoint,
    rng_file,
    rotate,
    save_rng,
)
from hf_train.model_files import save_files

if TYPE_CHECKING:
    from hf_train.run import Run
    from hf_train.trainer import Trainer

OPTIMIZER: Final = "optimizer.pt"
SCHEDULER: Final = "scheduler.pt"
SCALER: Final = "scaler.pt"
DATA_STATE: Final = "data_state.pt"
PROGRESS: Final = "progress.json"
AVERAGES: Final = "ema.pt"
ARGUMENTS: Final = "training_args.json"
ARGUMENTS_PICKLE: Final = "training_args.bin"


def save_checkpoint(trainer: Trainer, run: Run) -> Path:
    """Write the checkpoint of the current step, whole or not at all, and remove surplus ones. Its folder."""
    args, state, strategy = trainer.args, trainer.state, trainer.strategy
    folder = checkpoint_folder(trainer.output_dir, state.global_step)
    trainer.store_flops(run)
    if state.best_global_step is not None:
        best = checkpoint_folder(trainer.output_dir, state.best_global_step)
        if best == folder or best.is_dir():
            state.best_model_checkpoint = str(best)
    state.remember([*trainer.callback_handler.callbacks, trainer.control])
    files = _files(trainer, run)
    with strategy.whole(trainer.model_wrapped):
        if args.async_save and strategy.world == 1:
            trainer.writer.submit(folder, _frozen(trainer, files), after=lambda: _after(trainer, folder))
            return folder
        _write_together(trainer, folder, files)
    if strategy.leads:
        _after(trainer, folder)
    strategy.barrier()
    return folder


def _after(trainer: Trainer, folder: Path) -> None:
    """Upload the checkpoint, if that is wanted, and remove those that are too many."""
    if trainer.uploads is not None:
        trainer.uploads.checkpoint(folder, trainer.state.global_step)
    rotate(trainer.output_dir, trainer.args.save_total_limit, best=trainer.state.best_model_checkpoint)


def _files(trainer: Trainer, run: Run) -> dict[str, Any]:
    """What the checkpoint is made of, by file name; functions are called with the model to write."""
    args = trainer.args
    files: dict[str, Any] = {
        TRAINER_STATE_NAME: TrainerState(**copy.deepcopy(asdict(trainer.state))),
        ARGUMENTS: [asdict(setting) for setting in resolve(args)],
        ARGUMENTS_PICKLE: args,
    }
    if args.save_only_model:
        return files
    files[DATA_STATE] = {
        **run.feed.state(done=run.epoch_done).to_dict(),
        "accumulation": args.gradient_accumulation_steps,
        "processes": args.world_size,
    }
    files[PROGRESS] = run.progress()
    files[OPTIMIZER] = trainer.strategy.optimizer_state(trainer.model_wrapped, trainer.optimizer_now)
    files[SCHEDULER] = trainer.scheduler_now.state_dict()
    if trainer.precision.scaler is not None:
        files[SCALER] = trainer.precision.scaler.state_dict()
    if run.average is not None:
        files[AVERAGES] = run.average.state_dict()
    return files


def _write(files: dict[str, Any], model: nn.Module, processing: object, stage: Path) -> None:
    save_files(model, stage)
    save_processing = getattr(processing, "save_pretrained", None)
    if save_processing is not None:
        save_processing(stage)
    for name, content in files.items():
        if isinstance(content, TrainerState):
            content.save_to_json(stage / name)
        elif name.endswith(".json"):
            (stage / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
        else:
            torch.save(content, stage / name)


def _write_together(trainer: Trainer, folder: Path, files: dict[str, Any]) -> None:
    """The leader writes the files, every process its random generators; all raise if the leader fails."""
    world, rank = trainer.args.world_size, trainer.args.process_index
    whole = not trainer.args.save_only_model

    def write(stage: Path) -> None:
        if whole:
            save_rng(stage, rank=rank, world_size=world)

    if world == 1:
        with commit_checkpoint(folder) as stage:
            write(stage)
            _write(files, trainer.model, trainer.processing_class, stage)
    elif trainer.strategy.leads:
        told = False
        try:
            with commit_checkpoint(folder) as stage:
                _tell(str(stage))
                told = True
                try:
                    write(stage)
                finally:
                    dist.barrier()  # the others have written as well
                _write(files, trainer.model, trainer.processing_class, stage)
        except BaseException as error:
            if not told:
                _tell("")
            _tell(f"{type(error).__name__}: {error}")
            raise
        _tell("")
    else:
        if place := _hear():
            try:
                write(Path(place))
            finally:
                dist.barrier()
        if failure := _hear():
            raise CheckpointWriteError(
                f"{folder} could not be saved by the first process: {failure}", folder=folder
            )


def _tell(text: str) -> None:
    dist.broadcast_object_list([text], src=0)


def _hear() -> str:
    heard: list[str] = [""]
    dist.broadcast_object_list(heard, src=0)
    return heard[0]


def _frozen(trainer: Trainer, files: dict[str, Any]) -> Callable[[Path], None]:
    """A function that writes the checkpoint as it is now, whatever becomes of the model and the optimizer."""
    model, processing = trainer.model, trainer.processing_class
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    copied, kept = trainer.writer.copy((list(tensors.values()), files))
    copies = dict(zip(tensors, copied, strict=True))
    # A copy of the module tree whose tensors are those copies: `deepcopy` takes what it finds as copied already.
    shadow = copy.deepcopy(model, dict(copies))
    randomness = None if trainer.args.save_only_model else capture_rng()

    def write(stage: Path) -> None:
        if randomness is not None:
            torch.save(randomness, stage / rng_file())
        _write(kept, shadow, processing, stage)

    return write
