"""The training loop: epochs of steps, and what is due after each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from hf_train.checkpoint import RngState, restore_rng
from hf_train.data.feed import DataState
from hf_train.errors import TrainingDataError
from hf_train.greedy import GreedyLR
from hf_train.measure import count_tokens, speed
from hf_train.step import take_step

if TYPE_CHECKING:
    from hf_train.run import Run
    from hf_train.trainer import Trainer


def train_epochs(trainer: Trainer, run: Run, resumed: DataState, randomness: RngState | None) -> None:
    """Train until the last step, or until a callback says stop; from where `resumed` says, with its randomness."""
    trainer.event("on_train_begin")
    if trainer.args.eval_on_start:
        trainer.evaluate_now(run, schedule=False)
    for epoch in range(resumed.epoch, run.length.epochs):
        trainer.event("on_epoch_begin")
        batches = run.feed.epoch_from(epoch, resumed)
        run.batch_end = run.feed.batches
        if randomness is not None:
            restore_rng(randomness)
            randomness = None
        train_epoch(trainer, run, epoch, batches)
        run.epoch_done = True
        trainer.event("on_epoch_end")
        do_what_is_due(trainer, run)
        run.epoch_done = False
        if trainer.control.should_training_stop:
            break


def train_epoch(trainer: Trainer, run: Run, epoch: int, batches: Iterator[Mapping[str, Any]]) -> None:
    """Train on the batches that are left of an epoch."""
    accumulated, state = trainer.args.gradient_accumulation_steps, trainer.state
    steps = 0
    while batch := list(islice(batches, accumulated)):
        run.batch_end += len(batch)
        trainer.event("on_step_begin")
        outcome = take_step(trainer, run, batch)
        run.note(outcome.loss, outcome.grad_norm, trainer.learning_rate)
        count_tokens(trainer, run, batch)
        schedule = trainer.scheduler_now
        if outcome.moved and not isinstance(schedule, ReduceLROnPlateau | GreedyLR):
            schedule.step()
        steps += 1
        state.global_step += 1
        state.epoch = epoch + run.batch_end / run.length.epoch_batches
        trainer.event("on_step_end")
        do_what_is_due(trainer, run)
        if trainer.control.should_epoch_stop or trainer.control.should_training_stop:
            return
    if not steps and run.batch_end == 0:
        raise TrainingDataError(
            f"epoch {epoch + 1} has no batches, after {state.global_step} of {state.max_steps} steps",
            fix="a stream must begin anew each time it is iterated; or set max_steps lower",
        )


def do_what_is_due(trainer: Trainer, run: Run) -> None:
    """Log, evaluate and save, as far as callbacks have asked for it."""
    control, state = trainer.control, trainer.state
    if control.should_log and state.global_step > run.logged_step:
        log_step(trainer, run)
    if control.should_evaluate:
        metrics = trainer.evaluate_now(run)
        trainer.control.should_evaluate = False
        best = trainer.note_best(metrics)
        if trainer.args.save_strategy == "best":
            trainer.control.should_save = best
    if trainer.control.should_save:
        trainer.save_checkpoint(run)
        trainer.event("on_save")


def log_step(trainer: Trainer, run: Run) -> None:
    """Log the mean loss since the last log, the last step's gradient and rate."""
    logs: dict[str, float] = {}
    loss = run.take_loss()
    if loss is not None:
        logs["loss"] = loss
    logs["grad_norm"] = run.grad_norm
    logs["learning_rate"] = run.learning_rate
    if run.skipped:
        logs["skipped_steps"] = run.skipped
    run.logged_step = trainer.state.global_step
    trainer.store_flops(run)
    tokens = trainer.state.num_input_tokens_seen - run.first_tokens
    if trainer.args.include_num_input_tokens_seen != "no":
        logs.update(speed("train", time.perf_counter() - run.start, tokens=tokens))
    trainer.log(logs)
