"""What collators share: rows of a dataset in, a batch of tensors out.

B rows, T tokens of the longest one. Labels of -100 are left out of every loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from hf_hub_io.errors import HfError
from hf_tokenize import BatchEncoding, PaddingStrategy, Side, TensorType

IGNORED: Final = -100
Row: TypeAlias = Mapping[str, Any]
"""One example: columns of a dataset by name, numbers, lists or arrays."""
Batch: TypeAlias = dict[str, Any]
"""Inputs of a model by name: tensors, or NumPy arrays where asked for."""
Kind = Literal["pt", "np"]


class CollatorError(HfError, ValueError):
    """Rows that cannot become a batch; the message names the column."""


class Padder(Protocol):
    """What collators need of a tokenizer, a feature extractor or a processor."""

    @property
    def padding_side(self) -> Side:
        """Where padding goes."""
        ...

    def pad(
        self,
        encoded_inputs: Mapping[str, object] | Sequence[Mapping[str, object]],
        padding: bool | PaddingStrategy = True,
        *,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: TensorType | None = None,
    ) -> BatchEncoding[object]:
        """Rows as one padded batch."""
        ...


def plain(values: object) -> list[Any]:
    """A list of Python numbers, from a list, a tuple, a tensor or an array."""
    if isinstance(values, Tensor):
        return list(values.tolist())
    if isinstance(values, list | tuple):
        return list(values)
    to_list = getattr(values, "tolist", None)  # NumPy arrays, without importing NumPy
    if to_list is None:
        raise CollatorError(f"expected a list of numbers, and got {type(values).__name__}")
    return list(to_list())


def label_column(rows: Sequence[Row]) -> str | None:
    """The name under which rows carry their labels, None if they carry none."""
    if not rows:
        raise CollatorError("there are no rows to make a batch of", fix="check that the dataset is not empty")
    for name in ("label", "labels"):
        if name in rows[0] and any(row.get(name) is not None for row in rows):
            return name
    return None


def without(rows: Iterable[Row], *names: str) -> list[dict[str, Any]]:
    """The same rows without some columns."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def padded(rows: Iterable[Sequence[int]], length: int, value: int, side: Side) -> Tensor:
    """Rows of whole numbers as (B, length) int64, filled up with `value` on one side."""
    full = []
    for row in rows:
        filling = [value] * (length - len(row))
        full.append([*row, *filling] if side == "right" else [*filling, *row])
    return torch.tensor(full, dtype=torch.int64)


def rounded(length: int, multiple: int | None) -> int:
    """`length`, or the next multiple of `multiple`."""
    return length if not multiple else -(-length // multiple) * multiple


def delivered(batch: Mapping[str, Any], kind: Kind) -> Batch:
    """The batch with its tensors as they are, or as NumPy arrays."""
    if kind == "pt":
        return dict(batch)
    return {name: value.numpy() if isinstance(value, Tensor) else value for name, value in batch.items()}
