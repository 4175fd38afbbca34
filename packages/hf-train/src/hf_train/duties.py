"""What a Trainer does around its steps: tell callbacks, mind the best metric, keep the state, write results."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from hf_hub_io import atomic_write_json
from hf_hub_io.jsonio import JsonValue
from hf_train.arguments import resolve, table
from hf_train.arguments.plain import json_value
from hf_train.callbacks import TRAINER_STATE_NAME, Event, Logs, SaveOnSignalCallback, TrainerState
from hf_train.card import training_card
from hf_train.checkpoint import checkpoints, remove_checkpoint
from hf_train.data.batches import own_randomness
from hf_train.errors import ArgumentsError, LabelRangeError
from hf_train.evaluation.gather import mapped
from hf_train.greedy import GreedyLR
from hf_train.losses import out_of_range
from hf_train.measure import speed
from hf_train.optim import ScheduleFree
from hf_train.outputs import EvalLoopOutput
from hf_train.saving import ARGUMENTS_PICKLE

if TYPE_CHECKING:
    from hf_train.base import TrainerBase
    from hf_train.run import Length
    from hf_train.schedules import Scheduler
    from hf_train.trainer import Trainer

logger = logging.getLogger(__name__)


def tell(trainer: TrainerBase, name: Event, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Tell all callbacks of an event; what they want is in `trainer.control` afterwards."""
    handler = trainer.callback_handler
    method = getattr(handler, name)
    logs = {kind: as_logs(values) for kind, values in figures.items()}
    trainer.control = method(trainer.args, trainer.state, trainer.control, **logs)


def as_logs(values: Mapping[str, float]) -> Logs:
    """Figures as JSON values."""
    return {name: json_value(value) for name, value in values.items()}


def lr_scheduler_of(schedule: Scheduler | None) -> LRScheduler | ReduceLROnPlateau | None:
    """The schedule, as callbacks know schedules; None for one of another kind."""
    return schedule if isinstance(schedule, LRScheduler | ReduceLROnPlateau) else None


def new_state(trainer: Trainer) -> TrainerState:
    """The state at the beginning of a run."""
    return TrainerState(
        is_local_process_zero=trainer.is_local_process_zero(),
        is_world_process_zero=trainer.is_world_process_zero(),
        train_batch_size=trainer.batch_size,
    )


def begin_state(trainer: Trainer, length: Length) -> None:
    """Tell the state how long the run is."""
    state = trainer.state
    state.max_steps, state.num_train_epochs = length.max_steps, length.epochs
    state.compute_steps(trainer.args, length.max_steps)


def introduce(trainer: Trainer, loader: Iterable[Any]) -> None:
    """Tell callbacks what they may look at, and say once how the run is configured."""
    handler = trainer.callback_handler
    handler.model, handler.train_dataloader = trainer.model, loader
    handler.optimizer, handler.lr_scheduler = trainer.optimizer, lr_scheduler_of(trainer.lr_scheduler)
    if trainer.args.should_log:
        logger.info("arguments that are not defaults:\n%s", table(resolve(trainer.args)))


def training_mode(trainer: Trainer, on: bool) -> None:
    """Switch model and optimizer between training and evaluation."""
    trainer.model_wrapped.train(on)
    if trainer.model_wrapped is not trainer.model:
        trainer.model.train(on)
    if isinstance(trainer.optimizer, ScheduleFree):
        (trainer.optimizer.train if on else trainer.optimizer.eval)()


@contextmanager
def evaluating(trainer: Trainer, loader: Iterable[Any]) -> Iterator[None]:
    """A block in which the model evaluates; afterwards it trains again if it did before."""
    args = trainer.args
    if not trainer.is_in_train:
        trainer.place()
        if args.fp16_full_eval or args.bf16_full_eval:
            trainer.model.to(torch.float16 if args.fp16_full_eval else torch.bfloat16)
    training_mode(trainer, False)
    trainer.callback_handler.eval_dataloader = loader
    share, trainer.share = trainer.share, None
    try:
        # What evaluation draws, to load data or to sample, is not missing in training afterwards.
        with own_randomness():
            yield
    finally:
        trainer.share = share
        if trainer.is_in_train:
            training_mode(trainer, True)


def prepared_inputs(trainer: Trainer, inputs: dict[str, Any]) -> dict[str, Any]:
    """The batch on the device of this process. Raises LabelRangeError, which names the label and its place."""
    if trainer.label_limit is not None:
        wrong = out_of_range(inputs, trainer.label_names, trainer.label_limit)
        if wrong is not None:
            _raise_label(trainer, inputs, *wrong)
    device = trainer.strategy.device
    if device.type == "cpu":
        return inputs
    return {name: mapped(lambda t: t.to(device, non_blocking=True), v) for name, v in inputs.items()}


def _raise_label(trainer: Trainer, inputs: dict[str, Any], name: str, place: Tensor) -> None:
    row, *position = place.tolist()
    value = int(inputs[name][tuple(place.tolist())])
    where = f"row {row} of the batch" + (f", position {position[0]}" if position else "")
    rows = trainer.run.rows_of_step(1) if trainer.run is not None and trainer.is_in_train else ()
    if trainer.args.gradient_accumulation_steps == 1 and row < len(rows):
        where += f" (row {rows[row]} of the dataset)"
    raise LabelRangeError(
        f"{name} has {value} at {where}, and the model has {trainer.label_limit} outputs",
        fix="use -100 for what is not to be learned; else resize the embeddings, or set num_labels",
    )


def empty_cache(trainer: Trainer) -> None:
    """Give cached device memory back, if it is time for that."""
    steps = trainer.args.torch_empty_cache_steps
    if steps is not None and trainer.state.global_step % steps == 0 and torch.cuda.is_available():
        torch.cuda.empty_cache()


def with_speed(trainer: Trainer, output: EvalLoopOutput, prefix: str, seconds: float) -> dict[str, float]:
    """The metrics of an evaluation, and how fast it was."""
    rows = trainer.args.per_device_eval_batch_size * trainer.strategy.world
    steps = math.ceil(output.num_samples / rows)
    return {**output.metrics, **speed(prefix, seconds, rows=output.num_samples, steps=steps)}


def watched(trainer: Trainer, metrics: Mapping[str, float]) -> float:
    """The value of `metric_for_best_model`. Raises ArgumentsError if it was not computed."""
    name = f"eval_{(trainer.args.metric_for_best_model or 'loss').removeprefix('eval_')}"
    if name not in metrics:
        raise ArgumentsError(
            f"metric_for_best_model is {trainer.args.metric_for_best_model!r}, and the evaluation gave "
            f"{', '.join(sorted(metrics))}",
            fields=("metric_for_best_model",),
            fix="name one of these, without eval_",
        )
    return metrics[name]


def step_on_metric(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Let a schedule that follows a metric take its step."""
    schedule = trainer.lr_scheduler
    if isinstance(schedule, ReduceLROnPlateau | GreedyLR):
        schedule.step(watched(trainer, metrics))


def note_best(trainer: Trainer, metrics: Mapping[str, float]) -> bool:
    """Remember the best metric so far, and its step; whether these metrics have it."""
    args, state = trainer.args, trainer.state
    if args.metric_for_best_model is None:
        return False
    value, best = watched(trainer, metrics), state.best_metric
    if best is not None and not (value > best if args.greater_is_better else value < best):
        return False
    state.best_metric = value
    if args.save_strategy != "no":
        state.best_global_step = state.global_step
    return True


def drop_all_but_best(trainer: Trainer) -> None:
    """Remove the newest checkpoint too, if only one may stay and it is not the best."""
    best = trainer.state.best_model_checkpoint
    if trainer.args.save_total_limit != 1 or best is None or not trainer.strategy.leads:
        return
    for _, folder in checkpoints(trainer.output_dir):
        if folder.resolve() != Path(best).resolve():
            remove_checkpoint(folder)


def release_signals(trainer: Trainer) -> None:
    """Give signals back that a callback listens to, also when training ended by an error."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, SaveOnSignalCallback):
            callback.release()


def save_companions(trainer: Trainer, folder: Path) -> None:
    """Write the processing class's files and the arguments beside a model."""
    save = getattr(trainer.processing_class, "save_pretrained", None)
    if save is not None:
        save(folder)
    torch.save(trainer.args, folder / ARGUMENTS_PICKLE)


def save_state(trainer: Trainer) -> None:
    """Write the state into the output folder."""
    trainer.state.save_to_json(trainer.output_dir / TRAINER_STATE_NAME)


class CardFields(TypedDict, total=False):
    """What only its author can say about a model; see `card.training_card`."""

    base_model: str | None
    license: str | None
    language: Sequence[str]
    tasks: str | None
    datasets: Sequence[str]
    tags: Sequence[str]
    intended_use: str
    data: str


def write_card(trainer: Trainer, name: str | None, about: CardFields) -> None:
    """Write the model card of a run into its output folder."""
    card = training_card(
        name or trainer.output_dir.absolute().name,
        trainer.state,
        trainer.args.to_dict(),
        devices=trainer.args.world_size,
        **about,
    )
    card.save(trainer.output_dir)


def print_metrics(split: str, metrics: Mapping[str, float]) -> None:
    """Print metrics as aligned lines under a title."""
    width = max(map(len, metrics), default=0)
    lines = [f"  {name:<{width}} = {_shown(name, value):>12}" for name, value in sorted(metrics.items())]
    print("\n".join([f"***** {split} metrics *****", *lines]))  # noqa: T201 - it is what the method is for


def _shown(name: str, value: float) -> str:
    if name.endswith("_runtime"):
        hours, seconds = divmod(value, 3600)
        return f"{int(hours)}:{int(seconds // 60):02d}:{seconds % 60:05.2f}"
    if "_mem_" in name:
        return f"{value / 2**20:.0f} MB"
    if name == "total_flos":
        return f"{value / 1e9:.1f} GF"
    return f"{value:.4f}".rstrip("0").rstrip(".")


def save_metrics(folder: Path, split: str, metrics: Mapping[str, float], *, combined: bool) -> None:
    """Write {split}_results.json, and add to all_results.json."""
    plain: dict[str, JsonValue] = {name: json_value(value) for name, value in metrics.items()}
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_json(folder / f"{split}_results.json", plain)
    if combined:
        file = folder / "all_results.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        atomic_write_json(file, {**before, **plain})
