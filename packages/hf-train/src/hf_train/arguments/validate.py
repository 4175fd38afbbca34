"""Arguments made uniform, then checked one by one and against each other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from hf_config.errors import suggest
from hf_train.arguments.resolved import disagreements
from hf_train.arguments.values import (
    HubStrategy,
    Interval,
    OnNonfinite,
    Options,
    Sampling,
    SaveStrategy,
    TokenCount,
    options,
)
from hf_train.errors import ArgumentsError

if TYPE_CHECKING:
    from hf_train.arguments.training import TrainingArguments

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "logging_strategy": get_args(Interval),
    "eval_strategy": get_args(Interval),
    "save_strategy": get_args(SaveStrategy),
    "hub_strategy": get_args(HubStrategy),
    "train_sampling_strategy": get_args(Sampling),
    "include_num_input_tokens_seen": get_args(TokenCount),
    "on_nonfinite": get_args(OnNonfinite),
    "log_level": ("passive", "debug", "info", "warning", "error", "critical"),
    "log_level_replica": ("passive", "debug", "info", "warning", "error", "critical"),
}
_MAPPINGS: Final = (
    "lr_scheduler_kwargs",
    "liger_kernel_config",
    "activation_checkpointing_kwargs",
    "parallelism_config",
    "accelerator_config",
    "fsdp_config",
)
_AT_LEAST: Final[dict[str, float]] = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
    "weight_decay": 0,
    "warmup_steps": 0,
    "adam_epsilon": 0,
    "max_grad_norm": 0,
    "num_train_epochs": 0,
    "dataloader_num_workers": 0,
    "dataloader_prefetch_factor": 1,
    "eval_delay": 0,
    "eval_accumulation_steps": 1,
    "torch_empty_cache_steps": 1,
    "save_total_limit": 1,
    "ddp_timeout": 1,
    "neftune_noise_alpha": 0,
}
_SHARES: Final = ("adam_beta1", "adam_beta2", "label_smoothing_factor", "ema_decay", "layerwise_lr_decay")

_ACCELERATOR: Final[dict[str, tuple[bool | None, ...]]] = {
    "split_batches": (True, False),
    "dispatch_batches": (None, False),
    "even_batches": (True,),
    "use_seedable_sampler": (True,),
    "non_blocking": (True, False),
    "use_configured_state": (False,),
    "gradient_accumulation_kwargs": (None,),
}
"""What accelerate can be told, and what of it is done here."""


def normalize(args: TrainingArguments) -> dict[str, object]:
    """The fields whose value stands for another one, with that one."""
    new: dict[str, object] = {"output_dir": os.path.expanduser(args.output_dir or "trainer_output")}
    for name in _MAPPINGS:
        value: Options = getattr(args, name)
        if value is not None:
            new[name] = options(value, name)
    if isinstance(args.include_num_input_tokens_seen, bool):
        new["include_num_input_tokens_seen"] = "all" if args.include_num_input_tokens_seen else "no"
    for name in ("eval_strategy", "logging_strategy", "save_strategy", "hub_strategy"):
        # Enumerations of other libraries hold the word as their value.
        new[name] = getattr(getattr(args, name), "value", getattr(args, name))
    for name in ("optim", "lr_scheduler_type"):
        new[name] = str(getattr(getattr(args, name), "value", getattr(args, name)))
    if new["eval_strategy"] != "no":
        new["do_eval"] = True
        if not args.eval_steps:
            new["eval_steps"] = args.logging_steps
    if args.metric_for_best_model is None and (
        args.load_best_model_at_end
        or new["save_strategy"] == "best"
        or new["lr_scheduler_type"] in ("reduce_lr_on_plateau", "greedy")
    ):
        new["metric_for_best_model"] = "loss"
    metric = new.get("metric_for_best_model", args.metric_for_best_model)
    if args.greater_is_better is None and metric is not None:
        new["greater_is_better"] = not str(metric).endswith("loss")
    new["report_to"] = _listed(args.report_to)
    new["debug"] = tuple(args.debug.split()) if isinstance(args.debug, str) else tuple(args.debug or ())
    if args.torch_compile or args.torch_compile_mode or args.torch_compile_backend:
        new["torch_compile"] = True
        new["torch_compile_backend"] = args.torch_compile_backend or "inductor"
    if args.use_cpu:
        new["dataloader_pin_memory"] = False
    if args.disable_tqdm is None:
        new["disable_tqdm"] = logging.getLogger("hf_train").getEffectiveLevel() > logging.WARNING
    if isinstance(args.fsdp, str):
        # "full_shard auto_wrap", the way of older versions, and "" for nothing.
        new["fsdp"] = bool(args.fsdp.strip()) and args.fsdp.strip().lower() != "false"
    return new


def _listed(report_to: str | Sequence[str] | None) -> tuple[str, ...]:
    names = (report_to,) if isinstance(report_to, str) else tuple(report_to or ())
    return tuple(name for name in names if name != "none")


def validate(args: TrainingArguments) -> None:
    """Raise ArgumentsError for the first thing that cannot be; it names the fields and what would fit."""
    _words(args)
    _ranges(args)
    _intervals(args)
    for fails, what, fields, fix in _conflicts(args):
        if fails():
            raise ArgumentsError(what, fields=fields, fix=fix)
    if args.deepspeed:
        _deepspeed(args)
    _accelerator(args)


def _words(args: TrainingArguments) -> None:
    for name, allowed in _WORDS.items():
        value = getattr(args, name)
        if value not in allowed:
            raise ArgumentsError(
                f"{name} is {value!r}, expected one of {', '.join(allowed)}{suggest(str(value), allowed)}",
                fields=(name,),
            )


def _ranges(args: TrainingArguments) -> None:
    for name, least in _AT_LEAST.items():
        value = getattr(args, name)
        # `not >=` so that a value that is not a number is refused as well.
        if value is not None and not value >= least:
            raise ArgumentsError(f"{name} is {value}, expected at least {least:g}", fields=(name,))
    for name in _SHARES:
        value = getattr(args, name)
        if value is not None and not 0 <= value <= 1:
            raise ArgumentsError(f"{name} is {value}, expected a number from 0 to 1", fields=(name,))
    if args.max_steps == 0 or args.max_steps < -1:
        raise ArgumentsError(
            f"max_steps is {args.max_steps}", fields=("max_steps",), fix="a positive number, or -1 for epochs"
        )
    if Path(args.output_dir).is_file():
        raise ArgumentsError(f"output_dir is a file: {args.output_dir}", fields=("output_dir",))


def _intervals(args: TrainingArguments) -> None:
    strategies = {"logging": args.logging_strategy, "eval": args.eval_strategy, "save": args.save_strategy}
    for kind, strategy in strategies.items():
        steps: float | None = getattr(args, f"{kind}_steps")
        if strategy != "steps" or steps is None:
            continue
        if not steps > 0 or (steps > 1 and steps != int(steps)):
            raise ArgumentsError(
                f"{kind}_strategy is 'steps' and {kind}_steps is {steps}",
                fields=(f"{kind}_strategy", f"{kind}_steps"),
                fix=f"give {kind}_steps a whole number, or a share of the run below 1",
            )


Conflict = tuple[Callable[[], bool], str, tuple[str, ...], str]


def _conflicts(args: TrainingArguments) -> tuple[Conflict, ...]:
    """What fields say against each other: whether it does, what to say, the fields, and what to do."""
    return (*_of_precision(args), *_of_evaluation(args), *_of_data(args), *_of_devices(args))


def _of_precision(args: TrainingArguments) -> tuple[Conflict, ...]:
    """Between precisions."""
    return (
        (
            lambda: args.fp16 and args.bf16,
            "fp16 and bf16 are both set",
            ("fp16", "bf16"),
            "set the one the hardware has; bf16 needs no loss scaling",
        ),
        (
            lambda: args.fp16_full_eval and args.bf16_full_eval,
            "fp16_full_eval and bf16_full_eval are both set",
            ("fp16_full_eval", "bf16_full_eval"),
            "set one of them",
        ),
    )


def _of_evaluation(args: TrainingArguments) -> tuple[Conflict, ...]:
    """Between evaluating, saving and schedules."""
    plateau = args.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy")
    best = args.load_best_model_at_end and args.save_strategy != "best"
    save, evaluate = args.save_steps, args.eval_steps or 1
    return (
        (
            lambda: best and args.eval_strategy != args.save_strategy,
            f"load_best_model_at_end needs a checkpoint for each evaluation, and eval_strategy is "
            f"{args.eval_strategy!r} while save_strategy is {args.save_strategy!r}",
            ("load_best_model_at_end", "eval_strategy", "save_strategy"),
            "make both the same, or save_strategy='best'",
        ),
        (
            lambda: best and args.save_strategy == "steps" and not _multiple(save, evaluate),
            f"load_best_model_at_end needs save_steps to be a multiple of eval_steps, and they are {save:g} "
            f"and {evaluate:g}",
            ("load_best_model_at_end", "save_steps", "eval_steps"),
            "make save_steps a multiple, both steps or both shares, or save_strategy='best'",
        ),
        (
            lambda: args.save_strategy == "best" and args.eval_strategy == "no",
            "save_strategy is 'best' and eval_strategy is 'no', so that nothing is ever best",
            ("save_strategy", "eval_strategy"),
            "set eval_strategy",
        ),
        (
            lambda: plateau and args.eval_strategy == "no",
            f"lr_scheduler_type {args.lr_scheduler_type!r} follows the evaluations, and eval_strategy is 'no'",
            ("lr_scheduler_type", "eval_strategy"),
            "set eval_strategy",
        ),
        (
            lambda: (
                args.save_only_model and args.load_best_model_at_end and bool(args.fsdp or args.deepspeed)
            ),
            "save_only_model and load_best_model_at_end cannot be combined with sharded weights",
            ("save_only_model", "load_best_model_at_end"),
            "leave out one of them",
        ),
    )


def _of_data(args: TrainingArguments) -> tuple[Conflict, ...]:
    """Between options of loading data."""
    return (
        (
            lambda: args.dataloader_prefetch_factor is not None and args.dataloader_num_workers == 0,
            "dataloader_prefetch_factor is for workers, and dataloader_num_workers is 0",
            ("dataloader_prefetch_factor", "dataloader_num_workers"),
            "set dataloader_num_workers",
        ),
        (
            lambda: args.dataloader_persistent_workers and args.dataloader_num_workers == 0,
            "dataloader_persistent_workers is for workers, and dataloader_num_workers is 0",
            ("dataloader_persistent_workers", "dataloader_num_workers"),
            "set dataloader_num_workers",
        ),
        (
            lambda: not args.dataloader_in_order and args.dataloader_num_workers > 0,
            "batches out of order cannot be resumed from",
            ("dataloader_in_order", "dataloader_num_workers"),
            "leave out dataloader_in_order=False",
        ),
        (
            lambda: bool(set(args.include_for_metrics) - {"inputs", "loss"}),
            f"include_for_metrics is {list(args.include_for_metrics)}, expected 'inputs' or 'loss'",
            ("include_for_metrics",),
            "",
        ),
    )


def _of_devices(args: TrainingArguments) -> tuple[Conflict, ...]:
    """Between ways to spread over devices."""
    return (
        (
            lambda: sum(map(bool, (args.fsdp, args.deepspeed, args.parallel, args.parallelism_config))) > 1,
            "fsdp, deepspeed, parallel and parallelism_config each say how the model is spread, and more than one "
            "is set",
            ("fsdp", "deepspeed", "parallel", "parallelism_config"),
            "set one of them",
        ),
        (
            lambda: bool(args.fsdp_config) and not args.fsdp,
            "fsdp_config is given and fsdp is not set",
            ("fsdp_config", "fsdp"),
            "set fsdp=True",
        ),
        (
            lambda: args.ema_decay is not None and bool(args.fsdp or args.deepspeed),
            "ema_decay averages whole weights, and they are sharded",
            ("ema_decay", "fsdp", "deepspeed"),
            "leave out ema_decay",
        ),
    )


def _multiple(steps: float, of: float) -> bool:
    """Whether one interval contains the other a whole number of times; shares and steps never compare."""
    if (steps < 1) != (of < 1):
        return False
    ratio = steps / of
    return abs(ratio - round(ratio)) < 1e-9 and ratio >= 1 - 1e-9


def _accelerator(args: TrainingArguments) -> None:
    """Options of accelerate that this Trainer follows, or that say what it does anyway."""
    given = options(args.accelerator_config, "accelerator_config")
    for name, value in given.items():
        if name not in _ACCELERATOR:
            raise ArgumentsError(
                f"accelerator_config has {name!r}, which is not known{suggest(name, _ACCELERATOR)}",
                fields=("accelerator_config",),
                fix=f"it can have {', '.join(_ACCELERATOR)}",
            )
        if value not in _ACCELERATOR[name]:
            raise ArgumentsError(
                f"accelerator_config has {name}={value!r}, which this Trainer does not do",
                fields=("accelerator_config",),
                fix=f"leave out {name}",
            )


def _deepspeed(args: TrainingArguments) -> None:
    different = disagreements(args, args.deepspeed)
    if different:
        name, value = different[0]
        raise ArgumentsError(
            f"{name} is {getattr(args, name)} here and {value} in the DeepSpeed configuration",
            fields=(name, "deepspeed"),
            fix=f'write "auto" there, or {name}={value!r} here',
        )
