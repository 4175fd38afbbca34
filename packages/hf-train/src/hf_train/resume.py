"""Taking up a run that was saved: all of its state, or an error that says what does not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hf_hub_io import read_json_object
from hf_train.callbacks import TRAINER_STATE_NAME, ExportableState, TrainerCallback, TrainerState
from hf_train.checkpoint import MANIFEST_NAME, RngState, load_rng, verify
from hf_train.data.batches import batch_seed
from hf_train.data.feed import DataState
from hf_train.errors import ResumeError
from hf_train.model_files import load_files
from hf_train.saving import AVERAGES, DATA_STATE, OPTIMIZER, PROGRESS, SCALER, SCHEDULER

if TYPE_CHECKING:
    from hf_train.run import Run
    from hf_train.trainer import Trainer

logger = logging.getLogger(__name__)


def restore(trainer: Trainer, run: Run, folder: Path) -> tuple[DataState, RngState | None]:
    """Take up the run that was saved in `folder`; where its data stands, and the states of random generators.

    The generators' states are for the caller to restore, once it has begun to read the data.

    Raises:
        ResumeError: the checkpoint does not fit this run. CheckpointError and its kinds: it is damaged.
    """
    if (folder / MANIFEST_NAME).is_file():
        verify(folder)
    if not (folder / TRAINER_STATE_NAME).is_file():
        raise ResumeError(
            f"{folder} is no checkpoint: it has no {TRAINER_STATE_NAME}", fix="give its whole path"
        )
    _take_state(trainer, folder)
    load_files(trainer.model, folder)
    if not (folder / OPTIMIZER).is_file():
        raise ResumeError(
            f"{folder} holds a model without the state of its training (save_only_model)",
            fix="train from it as a new run: from_pretrained(folder)",
        )
    _load_optimizer(trainer, folder)
    trainer.scheduler_now.load_state_dict(read(folder / SCHEDULER))
    scaler = trainer.precision.scaler
    if scaler is not None:
        _required(folder / SCALER, "fp16 is set, and the checkpoint was saved without it")
        scaler.load_state_dict(read(folder / SCALER))
    if run.average is not None:
        _required(folder / AVERAGES, "ema_decay is set, and the checkpoint was saved without it")
        run.average.load_state_dict(read(folder / AVERAGES))
    run.logged_step = trainer.state.global_step
    if (folder / PROGRESS).is_file():
        run.take_up(read_json_object(folder / PROGRESS))
    data = _data_state(trainer, run, folder)
    return (
        (DataState(), None) if trainer.args.ignore_data_skip else (data, _randomness(trainer, folder, data))
    )


def read(file: Path) -> Any:
    """What `torch.save` wrote: tensors and plain values only, no code. Raises ResumeError if it is not that."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ResumeError(f"{file} cannot be read: {error}", fix="resume from another checkpoint") from error


def _take_state(trainer: Trainer, folder: Path) -> None:
    saved, state = TrainerState.load_from_json(folder / TRAINER_STATE_NAME), trainer.state
    best = saved.best_model_checkpoint
    if best is not None and not Path(best).is_dir():
        logger.warning("the best checkpoint so far, %s, is gone; the best weights of this run will be", best)
        saved.best_model_checkpoint = None
    for name in ("max_steps", "num_train_epochs", "logging_steps", "eval_steps", "save_steps"):
        before, now = getattr(saved, name), getattr(state, name)
        if before != now:
            logger.warning("%s was %s when the checkpoint was saved and is %s now", name, before, now)
            setattr(saved, name, now)
    for name in ("is_local_process_zero", "is_world_process_zero", "train_batch_size"):
        setattr(saved, name, getattr(state, name))
    trainer.state = saved
    _restore_callbacks(trainer, saved)


def _restore_callbacks(trainer: Trainer, saved: TrainerState) -> None:
    """Give callbacks their memory back: if their arguments are the same, or the checkpoint's are wanted."""
    remembered = {
        name: list(memory) if isinstance(memory, list) else [memory]
        for name, memory in saved.stateful_callbacks.items()
    }
    for place, callback in enumerate(trainer.callback_handler.callbacks):
        memories = remembered.get(type(callback).__name__)
        if not memories or not isinstance(callback, ExportableState):
            continue
        memory = memories.pop(0)
        assert isinstance(memory, dict)
        arguments, attributes = memory.get("args") or {}, memory.get("attributes") or {}
        assert isinstance(arguments, dict)
        assert isinstance(attributes, dict)
        if trainer.args.restore_callback_states_from_checkpoint:
            make: Callable[..., TrainerCallback] = type(callback)
            trainer.callback_handler.callbacks[place] = callback = make(**arguments)
        elif callback.state()["args"] != arguments:
            continue
        for name, value in attributes.items():
            setattr(callback, name, value)


def _load_optimizer(trainer: Trainer, folder: Path) -> None:
    state = read(folder / OPTIMIZER)
    try:
        trainer.strategy.load_optimizer_state(trainer.model_wrapped, trainer.optimizer_now, state)
    except (ValueError, KeyError) as error:
        raise ResumeError(
            f"{folder / OPTIMIZER} is of another optimizer or other parameters: {error}",
            fix="resume with the optim, the weight_decay groups and the trainable parameters it was saved with",
        ) from error


def _required(file: Path, why: str) -> None:
    if not file.is_file():
        raise ResumeError(f"{file.parent} has no {file.name}: {why}", fix="resume with the same settings")


def _data_state(trainer: Trainer, run: Run, folder: Path) -> DataState:
    """Where the data stands; of the peer's checkpoints, which do not say, it is counted from the step."""
    file, args, length = folder / DATA_STATE, trainer.args, run.length
    if file.is_file():
        state = DataState.of(read(file))
        rows = state.batch_rows * state.world * state.accumulation
        now = run.feed.batch_rows * run.feed.world * args.gradient_accumulation_steps
        if rows != now and not args.ignore_data_skip:
            raise ResumeError(
                f"a step had {rows} rows when the checkpoint was saved, and has {now} now",
                fix="keep per_device_train_batch_size * gradient_accumulation_steps * processes",
            )
        return state if args.ignore_data_skip else run.feed.fit(state)
    epoch, steps = divmod(trainer.state.global_step, length.epoch_steps)
    batches = min(steps * args.gradient_accumulation_steps, length.epoch_batches)
    return DataState.of({**run.feed.state().to_dict(), "epoch": epoch, "batches": batches})


def _randomness(trainer: Trainer, folder: Path, data: DataState) -> RngState | None:
    rank, world = trainer.args.process_index, trainer.args.world_size
    if data.processes not in (0, world):
        logger.warning(
            "the checkpoint was saved by %d processes and %d resume: dropout draws anew",
            data.processes,
            world,
        )
        torch.manual_seed(batch_seed(trainer.args.seed, trainer.state.global_step, rank))
        return None
    return load_rng(folder, rank=rank, world_size=world)
