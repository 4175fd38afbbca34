"""Argument names of older versions: the renamed ones are understood, the others say what to write instead."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Final, TypeVar

from hf_train.errors import RemovedArgumentError

RENAMED: Final[Mapping[str, str]] = {
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu",
    "warmup_ratio": "warmup_steps",
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
    "half_precision_backend": "",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "push_to_hub_model_id": "hub_model_id",
    "push_to_hub_token": "hub_token",
    "include_inputs_for_metrics": "include_for_metrics",
    "group_by_length": "train_sampling_strategy",
    "jit_mode_eval": "",
    "use_ipex": "",
    "overwrite_output_dir": "",
    "save_safetensors": "",
}
"""Old name to new name; "" for one whose default has become the only behaviour."""

REMOVED: Final[Mapping[str, str]] = {
    "logging_dir": "set the environment variable TENSORBOARD_LOGGING_DIR",
    "include_tokens_per_second": "use include_num_input_tokens_seen='all', which logs tokens per second",
    "fp16_backend": "leave it out: torch's own mixed precision is the only one",
    "fp16_opt_level": "leave it out: torch's own mixed precision is the only one",
    "split_batches": "set accelerator_config={'split_batches': True}",
    "dispatch_batches": "set accelerator_config={'dispatch_batches': True}",
    "torchdynamo": "set torch_compile=True and torch_compile_backend",
    "ray_scope": "pass scope= to hyperparameter_search",
    "mp_parameters": "leave it out",
    "tpu_num_cores": "leave it out",
    "push_to_hub_organization": "write it into hub_model_id: 'organization/name'",
    "tokenizer": "give the tokenizer to the Trainer, as processing_class",
}
"""Old name to what to do instead."""

_QUIET: Final = frozenset({"gradient_checkpointing", "gradient_checkpointing_kwargs"})
"""Old names that most code still uses; they are understood without a word."""

T = TypeVar("T")


class RenamedArgumentWarning(FutureWarning):
    """An argument was given under a name of an older version."""


def accept_old_names(cls: type[T]) -> type[T]:
    """Let a dataclass of arguments be made with the names of older versions; see `RENAMED`."""
    plain: Callable[..., None] = cls.__init__

    @wraps(plain)
    def made(self: T, *positional: object, **given: object) -> None:
        plain(self, *positional, **_translated(given))

    setattr(cls, "__init__", made)  # noqa: B010 - an assignment is what the type checker forbids
    return cls


def _translated(given: Mapping[str, object]) -> dict[str, object]:
    new: dict[str, object] = {}
    for name, value in given.items():
        if name in REMOVED:
            raise RemovedArgumentError(f"the argument {name} no longer exists", fix=REMOVED[name])
        if name not in RENAMED:
            new[name] = value
            continue
        target, value = RENAMED[name], _converted(name, value)
        if target and target in given:
            raise RemovedArgumentError(
                f"{name} and {target} are both given, and are the same argument", fix=f"give {target} alone"
            )
        if name in _QUIET:
            new[target] = value
            continue
        replacement = f"write {target}" if target else "leave it out: it changes nothing"
        warnings.warn(RenamedArgumentWarning(f"{name} is an old name; {replacement}"), stacklevel=3)
        if target and value is not None:
            new[target] = value
    return new


def _converted(name: str, value: object) -> object:
    """The value under the new name; None for one that says what the default says."""
    match name, value:
        case "group_by_length", bool():
            return "group_by_length" if value else None
        case "include_inputs_for_metrics", bool():
            return ["inputs"] if value else None
        case "warmup_ratio", float() | int() if not 0 <= value < 1:
            raise RemovedArgumentError(
                f"warmup_ratio={value} is not a share of the steps", fix="give warmup_steps a number of steps"
            )
        case "save_safetensors", False:
            raise RemovedArgumentError(
                "save_safetensors=False asks for pickle files, which are not written", fix="leave it out"
            )
        case _:
            return value
