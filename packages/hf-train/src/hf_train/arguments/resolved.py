"""The resolved configuration of a run: each value, and where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from hf_hub_io.jsonio import JsonValue
from hf_train.arguments.plain import plain
from hf_train.arguments.values import Options, options

if TYPE_CHECKING:
    from hf_train.arguments.training import TrainingArguments

DERIVED: Final[Mapping[str, str]] = {
    "eval_steps": "logging_steps",
    "metric_for_best_model": "load_best_model_at_end",
    "greater_is_better": "metric_for_best_model",
    "torch_compile": "torch_compile_backend",
    "torch_compile_backend": "torch_compile",
    "do_eval": "eval_strategy",
    "dataloader_pin_memory": "use_cpu",
}
"""Fields that get a value from another where none was given."""

_DEEPSPEED: Final[Mapping[str, tuple[str, ...]]] = {
    "per_device_train_batch_size": ("train_micro_batch_size_per_gpu",),
    "gradient_accumulation_steps": ("gradient_accumulation_steps",),
    "max_grad_norm": ("gradient_clipping",),
    "bf16": ("bf16", "enabled"),
    "fp16": ("fp16", "enabled"),
    "learning_rate": ("optimizer", "params", "lr"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One argument of a run: its value, and "default", "given", "derived from ..." or the file it stood in."""

    name: str
    value: JsonValue
    origin: str


def resolve(args: TrainingArguments, origins: Mapping[str, str] | None = None) -> tuple[Setting, ...]:
    """Every argument with its origin; `origins` says which file or flag a value was read from."""
    values = plain(args)
    defaults = type(args)()
    known = origins or {}
    settings = []
    for part in fields(args):
        name = part.name
        unchanged = getattr(args, name) == getattr(defaults, name)
        if name in known:
            origin = known[name]
        elif unchanged:
            origin = "default"
        else:
            origin = _derived(args, name) or "given"
        settings.append(Setting(name=name, value=values[name], origin=origin))
    return tuple(settings)


def table(settings: Iterable[Setting], *, everything: bool = False) -> str:
    """The settings as aligned lines; those that are not defaults, or all with `everything`."""
    shown = [s for s in settings if everything or s.origin != "default"]
    if not shown:
        return "all arguments have their defaults"
    names = max(len(s.name) for s in shown)
    values = min(40, max(len(str(s.value)) for s in shown))
    return "\n".join(f"{s.name:<{names}}  {s.value!s:<{values}}  {s.origin}" for s in shown)


def disagreements(args: TrainingArguments, deepspeed: Options) -> tuple[tuple[str, JsonValue], ...]:
    """The arguments to which a DeepSpeed configuration gives another value than `args`, and which.

    A value of "auto" there takes the argument's.
    """
    settings = options(deepspeed, "deepspeed")
    found: list[tuple[str, JsonValue]] = []
    for name, path in _DEEPSPEED.items():
        value: JsonValue = settings
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None and value != "auto" and value != getattr(args, name):
            found.append((name, value))
    return tuple(found)


def _derived(args: TrainingArguments, name: str) -> str | None:
    source = DERIVED.get(name)
    if source is None:
        return None
    same = {
        "eval_steps": args.eval_steps == args.logging_steps,
        "metric_for_best_model": args.metric_for_best_model == "loss",
        "greater_is_better": args.greater_is_better == (not str(args.metric_for_best_model).endswith("loss")),
        "torch_compile": args.torch_compile_backend is not None,
        "torch_compile_backend": args.torch_compile_backend == "inductor",
    }
    return f"derived from {source}" if same.get(name, True) else None
