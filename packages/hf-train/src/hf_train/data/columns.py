"""Which columns of a dataset a model takes, and a collator that sees no others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from hf_train.errors import TrainingDataError

LABELS = ("label", "label_ids")
"""Names of labels that collators turn into `labels`."""


def inner_model(model: nn.Module) -> nn.Module:
    """The model inside of what adapters or parallel training wrapped around it."""
    while True:
        # A wrapper of peft has the module whose layers it changed as `base_model.model`.
        base = getattr(model, "base_model", None)
        if (
            isinstance(base, nn.Module)
            and base is not model
            and getattr(model, "peft_config", None) is not None
        ):
            inside = getattr(base, "model", None)
            if isinstance(inside, nn.Module):
                model = inside
                continue
        inside = getattr(model, "module", None)
        if isinstance(inside, nn.Module) and len(list(model.children())) == 1:
            model = inside
            continue
        compiled = getattr(model, "_orig_mod", None)
        if isinstance(compiled, nn.Module):
            model = compiled
            continue
        return model


def parameters_of(model: nn.Module) -> Mapping[str, inspect.Parameter]:
    """The parameters of the model's `forward`, by name."""
    return inspect.signature(inner_model(model).forward).parameters


def label_names_of(model: nn.Module) -> tuple[str, ...]:
    """The model's inputs that are labels: those with "label" in their name, and the places of an answer."""
    names = parameters_of(model)
    answer = tuple(name for name in ("start_positions", "end_positions") if name in names)
    return answer or tuple(name for name in names if "label" in name)


def accepted(model: nn.Module, label_names: Sequence[str]) -> tuple[str, ...]:
    """The columns that a row may have: what `forward` takes, and the names that become labels."""
    return tuple(dict.fromkeys((*parameters_of(model), *LABELS, *label_names)))


def keep_columns(dataset: Any, columns: Sequence[str], model: str) -> Any:
    """A table without the columns the model does not take. Raises TrainingDataError if none is left."""
    present: Sequence[str] = dataset.column_names or columns
    unused = [name for name in present if name not in columns]
    if len(unused) == len(present):
        raise no_column(present, columns, model)
    return dataset.remove_columns(unused) if unused else dataset


def no_column(present: Sequence[str], columns: Sequence[str], model: str) -> TrainingDataError:
    """For rows of which the model takes nothing; names both sides."""
    return TrainingDataError(
        f"the data has the columns {', '.join(map(str, present)) or 'none'}, and {model} takes "
        f"{', '.join(name for name in columns if name not in LABELS)}",
        fix="rename the columns, tokenize the text, or set remove_unused_columns=False and a collator of your own",
    )


@final
@dataclass(frozen=True)
class KeepColumns:
    """Collates rows without the columns that the model does not take."""

    collate: Callable[[list[Any]], Any]
    columns: frozenset[str]
    model: str

    def __call__(self, rows: list[Any]) -> Any:
        if not rows or not isinstance(rows[0], Mapping):
            return self.collate(rows)
        kept = [{name: value for name, value in row.items() if name in self.columns} for row in rows]
        if not kept[0]:
            raise no_column(tuple(rows[0]), tuple(sorted(self.columns)), self.model)
        return self.collate(kept)
