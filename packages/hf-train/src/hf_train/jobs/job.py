"""A training run as a file: the task, the model, the data, and the arguments of the Trainer.

```yaml
task: text-classification
model: org/name                # or a local folder
data:
  train: reviews.jsonl         # JSON lines, JSON, CSV, text, or the id of a dataset on the Hub
  validation: held_out.jsonl
  text: review                 # the columns, where they are not called as the task expects
  label: stars
training:                      # fields of TrainingArguments
  output_dir: out
  num_train_epochs: 2
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from hf_config.errors import suggest
from hf_hub_io import JsonValue
from hf_hub_io.errors import HfError
from hf_train.argparser import read_mapping

TaskName = Literal[
    "causal-lm", "masked-lm", "text-classification", "token-classification", "question-answering", "seq2seq"
]
TASKS: Final[tuple[TaskName, ...]] = get_args(TaskName)


class JobError(HfError, ValueError):
    """A description of a run that lacks something or says what nobody understands; names the key and the file."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What to train on.

    Attributes:
        train, validation: files, or ids of datasets on the Hub as `id`, `id:split` or `id/config:split`.
        text, text_pair, label, target: columns; None for the names that the task expects.
        max_length: tokens of a row; longer ones are cut, or split for language modelling and question answering.
        pack: fill rows with whole texts, for causal language models.
        stride: tokens that the pieces of a long context share, for question answering.
        limit: use only so many rows of each part.
    """

    train: str
    validation: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    target: str | None = None
    max_length: int = 512
    pack: bool = False
    stride: int = 64
    limit: int | None = None
    mlm_probability: float = 0.15


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of `hft train`.

    Attributes:
        tokenizer: of another folder than the model's.
        config: a new model with these fields of the configuration in `model`, with random weights; None loads it.
        training: fields of TrainingArguments.
        folder: what relative paths begin at, the folder of the file.
        report: write learning curves and a page when done.
    """

    task: TaskName
    model: str
    data: DataSpec
    training: Mapping[str, JsonValue]
    tokenizer: str | None = None
    config: Mapping[str, JsonValue] | None = None
    folder: Path = field(default_factory=Path)
    report: bool = True


def read_job(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Job:
    """The run that a YAML, JSON or TOML file describes.

    `overrides` replace values by their path, such as `training.max_steps`. Raises JobError.
    """
    path = Path(path)
    if not path.is_file():
        raise JobError(f"there is no file {str(path)!r}", fix="check the path after --config")
    values = read_mapping(path)
    if isinstance(values.get("data"), str):
        values["data"] = {"train": values["data"]}
    for name, value in (overrides or {}).items():
        _set(values, name.split("."), value)
    return job_of(values, folder=path.parent, source=str(path))


def job_of(values: Mapping[str, Any], *, folder: Path | None = None, source: str = "the run") -> Job:
    """The run that nested values describe; `source` is named in errors."""
    known = {part.name for part in fields(Job)} - {"folder"}
    _check("", values, known, source)
    for name in ("task", "model", "data", "training"):
        if name not in values:
            raise JobError(f"{source} has no {name!r}", fix="see `hft train --help` for a whole file")
    task, data, training = values["task"], values["data"], values["training"]
    if task not in TASKS:
        raise JobError(
            f"{source}: no task is called {task!r}{suggest(str(task), TASKS)}",
            fix=f"one of {', '.join(TASKS)}",
        )
    if isinstance(data, str):
        data = {"train": data}
    for name, part in (("data", data), ("training", training)):
        if not isinstance(part, Mapping):
            raise JobError(f"{source}: {name} is {part!r}, expected names with values")
    _check("data.", data, {part.name for part in fields(DataSpec)}, source)
    if "train" not in data:
        raise JobError(f"{source} has no data.train", fix="name a file of rows, or a dataset")
    return Job(
        task=task,
        model=str(values["model"]),
        data=DataSpec(**data),
        training=dict(training),
        tokenizer=values.get("tokenizer"),
        config=values.get("config"),
        folder=folder or Path(),
        report=bool(values.get("report", True)),
    )


def _check(prefix: str, values: Mapping[str, Any], known: set[str], source: str) -> None:
    for name in values:
        if name not in known:
            raise JobError(
                f"{source}: nobody understands {prefix}{name}{suggest(name, known)}",
                fix=f"known are: {', '.join(sorted(known))}",
            )


def _set(values: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise JobError(f"{'.'.join(path)} cannot be set: {name} is {inner!r}")
        values = inner
    values[last] = value
