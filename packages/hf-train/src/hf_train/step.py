"""One step: gradients of a few batches added up, looked at, bounded, and applied.

The loss of a step is a sum over all its labels, in all batches and processes, divided by their number. So it
does not matter how the rows of a step are cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hf_train.errors import NoLabelsError
from hf_train.guard import nonfinite_error

if TYPE_CHECKING:
    from hf_train.run import Run
    from hf_train.trainer import Trainer


@dataclass(kw_only=True, slots=True)
class Share:
    """What part of its step a batch is.

    items: labels of the step in all processes, or in this one if they are not averaged over all.
    part: by what a mean over the batch's own labels is multiplied to be its part of the step's loss.
    scale: undoes the mean that parallel training forms over processes.
    applied: set by who has divided by `items`, so that it is not done twice.
    """

    items: int
    part: float
    scale: float
    applied: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StepOutcome:
    """The loss of a step, the 2-norm of its gradient before it was bounded, and whether the weights moved."""

    loss: float
    grad_norm: float
    moved: bool


def take_step(trainer: Trainer, run: Run, batches: Sequence[Mapping[str, Any]]) -> StepOutcome:
    """Train one step on `batches`; see the module.

    Raises:
        NonFiniteError: the loss or the gradient is not finite, unless such steps are to be skipped.
        NoLabelsError: the step has no label at all.
    """
    loss = _accumulate(trainer, run, batches)
    outcome = _apply(trainer, run, batches, loss)
    trainer.optimizer_now.zero_grad(set_to_none=True)
    return outcome


def _accumulate(trainer: Trainer, run: Run, batches: Sequence[Mapping[str, Any]]) -> float:
    """The loss of all batches; their gradients are in the parameters."""
    strategy, rule = trainer.strategy, trainer.loss_rule
    counts = [rule.items(batch) for batch in batches]
    world = strategy.world
    own = sum(counts)
    total = own
    if world > 1:
        total = int(strategy.total(torch.tensor(own, device=strategy.device)).item())
    if not total:
        raise NoLabelsError(
            f"all labels of step {trainer.state.global_step + 1} are -100"
            + _listed(run.rows_of_step(len(batches))),
            fix="leave such rows out, or look at how the labels were masked",
        )
    # Over all processes, or over this one alone: then each process weighs the same.
    averaged = trainer.args.average_tokens_across_devices
    items, scale = (total, float(world)) if averaged else (max(own, 1), 1.0)
    losses: list[Tensor] = []
    for number, (batch, count) in enumerate(zip(batches, counts, strict=True)):
        last = number == len(batches) - 1
        trainer.share = Share(items=items, part=count / items, scale=scale)
        with nullcontext() if last else strategy.unsynced(trainer.model_wrapped):
            losses.append(trainer.training_step(trainer.model_wrapped, dict(batch), items))
        if not last:
            trainer.event("on_substep_end")
    trainer.share = None
    loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
    if world > 1:
        loss = strategy.total(loss.float()) / world
    return float(loss)


def _apply(trainer: Trainer, run: Run, batches: Sequence[Mapping[str, Any]], loss: float) -> StepOutcome:
    """Bound the gradient and move the weights, if loss and gradient are numbers."""
    args, optimizer, scaler = trainer.args, trainer.optimizer_now, trainer.precision.scaler
    if scaler is not None:
        scaler.unscale_(optimizer)
    norm = float(trainer.strategy.clip(run.parameters, args.max_grad_norm or math.inf))
    finite = math.isfinite(loss) and math.isfinite(norm)
    overflowed = scaler is not None and math.isfinite(loss) and not finite
    if not finite and not overflowed:
        error = nonfinite_error(
            trainer.model_wrapped,
            [trainer.prepare_inputs(dict(batch)) for batch in batches],
            run.rows_of_step(len(batches)),
            trainer.state.global_step + 1,
            loss,
        )
        optimizer.zero_grad(set_to_none=True)
        if args.on_nonfinite == "raise":
            raise error
        run.note_skipped(error)
        return StepOutcome(loss=loss, grad_norm=norm, moved=False)
    trainer.event("on_pre_optimizer_step")
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    trainer.event("on_optimizer_step")
    if run.average is not None and not overflowed:
        run.average.update()
    return StepOutcome(loss=loss, grad_norm=norm, moved=not overflowed)


def _listed(rows: tuple[int, ...]) -> str:
    return f" (rows of the dataset: {', '.join(map(str, rows[:16]))})" if rows else ""
