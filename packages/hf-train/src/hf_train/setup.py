"""What a Trainer is set up with: checks of what it was given, its defaults, its data, optimizer and schedule."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch import nn
from torch.optim import Optimizer

from hf_modeling.model import PreTrainedModel
from hf_tokenize import PreTrainedTokenizer
from hf_train.arguments import TrainingArguments
from hf_train.arguments.values import options
from hf_train.callbacks import (
    DefaultFlowCallback,
    PrinterCallback,
    ProgressCallback,
    SaveOnSignalCallback,
    TrainerCallback,
)
from hf_train.checkpoint import last_complete
from hf_train.collators import DataCollatorWithPadding, default_data_collator
from hf_train.data.columns import KeepColumns, keep_columns
from hf_train.data.loaders import row_count
from hf_train.errors import ArgumentsError, ResumeError
from hf_train.evaluation.metrics import StreamingMetric
from hf_train.optim import Layerwise
from hf_train.schedules import Scheduler, make_schedule

if TYPE_CHECKING:
    from hf_train.base import Collator, TrainerBase

LOGGER: Final = "hf_train"


def default_collator(processing_class: object) -> Collator:
    """What makes batches if nothing else is given: a tokenizer's padding, or stacking."""
    if isinstance(processing_class, PreTrainedTokenizer):
        return DataCollatorWithPadding(processing_class)
    return default_data_collator


def check_constructor(trainer: TrainerBase, model: nn.Module | None) -> None:
    """Raise ArgumentsError for arguments of the Trainer that contradict each other."""
    args = trainer.args
    if (model is None) == (trainer.model_init is None):
        given = "neither model nor model_init is" if model is None else "model and model_init are both"
        raise ArgumentsError(f"{given} given", fields=("model", "model_init"), fix="give one of them")
    if trainer.model_init is not None and (trainer.optimizer is not None or trainer.lr_scheduler is not None):
        raise ArgumentsError(
            "optimizers are given for a model that model_init has yet to make",
            fields=("model_init", "optimizers"),
            fix="override create_optimizer, or give optimizer_cls_and_kwargs",
        )
    if trainer.optimizer is not None and trainer.optimizer_cls_and_kwargs is not None:
        raise ArgumentsError(
            "optimizers and optimizer_cls_and_kwargs are both given",
            fields=("optimizers", "optimizer_cls_and_kwargs"),
            fix="give one of them",
        )
    if trainer.optimizer is not None and (args.fsdp or args.parallel):
        raise ArgumentsError(
            "an optimizer is given for weights that are yet to be sharded",
            fields=("optimizers", "fsdp", "parallel"),
            fix="override create_optimizer, or give optimizer_cls_and_kwargs",
        )
    if args.eval_strategy != "no" and trainer.eval_dataset is None:
        raise ArgumentsError(
            f"eval_strategy is {args.eval_strategy!r} and there is no eval_dataset",
            fields=("eval_strategy", "eval_dataset"),
            fix="give the Trainer an eval_dataset, or set eval_strategy='no'",
        )
    data = trainer.train_dataset
    if data is not None and args.max_steps < 0 and row_count(data) is None and not _has_length(data):
        raise ArgumentsError(
            "the train_dataset has no length, so that the number of steps is not known",
            fields=("train_dataset", "max_steps"),
            fix="set max_steps",
        )
    _check_metric(trainer.compute_metrics, args)


def _has_length(data: object) -> bool:
    try:
        len(data)  # type: ignore[arg-type]  # what has none raises
    except TypeError:
        return False
    return True


def _check_metric(metric: object, args: TrainingArguments) -> None:
    if not args.batch_eval_metrics or metric is None or isinstance(metric, StreamingMetric):
        return
    assert callable(metric)
    if "compute_result" not in inspect.signature(metric).parameters:
        raise ArgumentsError(
            "batch_eval_metrics is set, and compute_metrics does not take compute_result",
            fields=("batch_eval_metrics", "compute_metrics"),
            fix="def compute_metrics(prediction, compute_result): return the metrics when it is True",
        )


def default_callbacks(args: TrainingArguments) -> list[TrainerCallback]:
    """The callbacks that the arguments ask for."""
    callbacks: list[TrainerCallback] = [DefaultFlowCallback()]
    if args.report_to:
        from hf_train.reporters import make_reporters

        callbacks += make_reporters(args.report_to)
    if args.enable_jit_checkpoint:
        callbacks.append(SaveOnSignalCallback())
    if "underflow_overflow" in args.debug:
        from hf_train.overflow import OverflowCallback

        callbacks.append(OverflowCallback())
    callbacks.append(PrinterCallback() if args.disable_tqdm else ProgressCallback())
    return callbacks


def set_log_level(args: TrainingArguments) -> None:
    """Let this package's logger speak at the level the arguments set; "passive" leaves it."""
    level = args.log_level if args.should_log else args.log_level_replica
    if level != "passive":
        logging.getLogger(LOGGER).setLevel(level.upper())


def inner_parameters(model: nn.Module) -> int:
    """Parameters that take part in products with every token: all but input embeddings."""
    if isinstance(model, PreTrainedModel):
        return model.num_parameters(exclude_embeddings=True)
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return sum(p.numel() for p in model.parameters() if id(p) not in tables)


def prepared_data(trainer: TrainerBase, dataset: Any) -> tuple[Any, Callable[[list[Any]], Any]]:
    """A dataset and the collator for it, without the columns that the model does not take."""
    collate = trainer.data_collator
    if not trainer.args.remove_unused_columns:
        return dataset, collate
    name = type(trainer.model).__name__
    # A table of the datasets library; a stream of it may not know its columns.
    if getattr(dataset, "remove_columns", None) is not None and dataset.column_names:
        return keep_columns(dataset, trainer.columns, name), collate
    return dataset, KeepColumns(collate, frozenset(trainer.columns), name)


def make_scheduler(args: TrainingArguments, optimizer: Optimizer, steps: int) -> Scheduler:
    """The schedule that the arguments name."""
    settings = options(args.lr_scheduler_kwargs, "lr_scheduler_kwargs")
    if args.lr_scheduler_type == "reduce_lr_on_plateau":
        settings.setdefault("mode", "max" if args.greater_is_better else "min")
    return make_schedule(args.lr_scheduler_type, optimizer, args.get_warmup_steps(steps), steps, settings)


def check_optimizer(optimizer: Optimizer, args: TrainingArguments) -> None:
    """Raise ArgumentsError for an optimizer that steps within the backward pass, if gradients are needed after it."""
    if isinstance(optimizer, Layerwise) and (args.gradient_accumulation_steps > 1 or args.fp16):
        other = "fp16" if args.fp16 else "gradient_accumulation_steps"
        raise ArgumentsError(
            f"{args.optim} moves each weight within the backward pass, which {other} does not allow",
            fields=("optim", other),
            fix=f"use {args.optim.removesuffix('_layerwise')}, or leave out {other}",
        )


def checkpoint_to_resume(trainer: TrainerBase, wanted: str | Path | bool | None) -> Path | None:
    """The folder to resume from. Raises ResumeError if there is none."""
    if wanted is None or wanted is False:
        return None
    if wanted is not True:
        folder = Path(wanted)
        if not folder.is_dir():
            raise ResumeError(
                f"{folder} is not a folder", fix="give the path of a checkpoint-N folder, or True"
            )
        return folder
    found = last_complete(trainer.output_dir)
    if found is None:
        raise ResumeError(
            f"{trainer.output_dir} holds no complete checkpoint", fix="train without resume_from_checkpoint"
        )
    return found
