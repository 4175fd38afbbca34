"""The model card of a run: what was trained, on what, how, and how well; nothing is claimed that was not measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from hf_hub_io import EvaluationResult, JsonValue, ModelCard
from hf_train.callbacks.state import Logs, TrainerState

SHOWN: Final = (
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "per_device_eval_batch_size",
    "num_train_epochs",
    "max_steps",
    "optim",
    "optim_args",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "weight_decay",
    "max_grad_norm",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "label_smoothing_factor",
    "neftune_noise_alpha",
    "bf16",
    "fp16",
    "seed",
)
"""The arguments that a reader needs to train the same model again."""
_PACKAGES: Final = ("hf-train", "hf-modeling", "hf-tokenize", "torch", "datasets", "tokenizers", "peft")


def training_card(
    name: str,
    state: TrainerState,
    arguments: Mapping[str, JsonValue],
    *,
    base_model: str | None = None,
    license: str | None = None,
    language: Sequence[str] = (),
    tasks: str | None = None,
    datasets: Sequence[str] = (),
    tags: Sequence[str] = (),
    devices: int = 1,
    intended_use: str = "",
    data: str = "",
) -> ModelCard:
    """The card of a trained model; `save` writes it.

    Args:
        arguments: the training arguments by name, of which those in `SHOWN` are listed.
        tasks: the Hub's name of the task, such as "text-generation".
        intended_use, data: paragraphs of your own. Left out, the card says that they are missing.
    """
    evaluations = [row for row in state.log_history if "eval_loss" in row]
    results = _results(evaluations[-1] if evaluations else {}, tasks, datasets)
    origin = (
        f"a fine-tuned version of [{base_model}](https://huggingface.co/{base_model})"
        if base_model
        else ("a model trained from scratch")
    )
    parts = [
        f"# {name}",
        f"This is {origin}. It took {state.global_step:,} steps, {state.epoch:.4g} epochs.",
        "## Intended use",
        intended_use or "Not described by its authors.",
        "## Training data",
        data or (", ".join(datasets) if datasets else "Not described by its authors."),
        "## Training",
        _hyperparameters(arguments, devices),
        "### Results",
        _results_table(state.log_history) or "No evaluation was run.",
        "### Versions",
        "\n".join(f"- {package} {found}" for package, found in _versions().items()),
    ]
    return ModelCard(
        model_name=name,
        body="\n\n".join(parts),
        license=license,
        language=tuple(language),
        base_model=base_model,
        pipeline_tag=tasks,
        datasets=tuple(datasets),
        metrics=tuple(result.metric for result in results if result.metric != "loss"),
        tags=tuple(dict.fromkeys((*tags, "generated_from_trainer"))),
        results=results,
    )


def _results(last: Logs, task: str | None, datasets: Sequence[str]) -> tuple[EvaluationResult, ...]:
    """The last evaluation as the Hub's numbers, if it is known what was evaluated on what."""
    if task is None or len(datasets) != 1:
        return ()
    skipped = ("_runtime", "_per_second", "_time")
    return tuple(
        EvaluationResult(
            task=task,
            dataset=datasets[0],
            dataset_name=datasets[0],
            metric=metric.removeprefix("eval_"),
            value=float(value),
        )
        for metric, value in last.items()
        if metric.startswith("eval_") and not metric.endswith(skipped) and isinstance(value, int | float)
    )


def _hyperparameters(arguments: Mapping[str, JsonValue], devices: int) -> str:
    shown = {name: arguments[name] for name in SHOWN if arguments.get(name) not in (None, False, 0, "", {})}
    if arguments.get("max_steps") == -1:
        shown.pop("max_steps", None)
    lines = [f"- {name}: {value}" for name, value in shown.items()]
    size, accumulated = (
        arguments.get("per_device_train_batch_size"),
        arguments.get("gradient_accumulation_steps", 1),
    )
    if isinstance(size, int) and isinstance(accumulated, int):
        lines.append(f"- rows in a step: {size * accumulated * devices}")
    if devices > 1:
        lines.append(f"- devices: {devices}")
    return "\n".join(lines)


def _results_table(history: Sequence[Logs]) -> str:
    """One line for each evaluation, with the training loss logged last before it."""
    rows: list[list[str]] = []
    names: dict[str, None] = {}
    loss: JsonValue = None
    found: list[tuple[JsonValue, Logs]] = []
    for row in history:
        loss = row.get("loss", loss)
        if "eval_loss" in row:
            found.append((loss, row))
            skipped = ("_runtime", "_per_second", "_time")
            names |= {name: None for name in row if name.startswith("eval_") and not name.endswith(skipped)}
    if not found:
        return ""
    heads = ["Training loss", "Epoch", "Step", *(_heading(name) for name in names)]
    for training, row in found:
        rows.append([_number(training), _number(row.get("epoch")), _number(row.get("step"))])
        rows[-1] += [_number(row.get(name)) for name in names]
    lines = [heads, [":---:"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _heading(name: str) -> str:
    plain = name.removeprefix("eval_").replace("_", " ")
    return "Validation loss" if plain == "loss" else plain.capitalize()


def _number(value: JsonValue) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
