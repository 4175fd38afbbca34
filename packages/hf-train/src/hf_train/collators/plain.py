"""Collators that pad and stack: for sequence, token and span labels, choices, and encoder-decoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from hf_tokenize import PaddingStrategy
from hf_train.collators.common import (
    IGNORED,
    Batch,
    CollatorError,
    Kind,
    Padder,
    Row,
    delivered,
    label_column,
    padded,
    plain,
    rounded,
    without,
)


def default_data_collator(features: Sequence[object], return_tensors: Kind = "pt") -> Batch:
    """Rows of equal shape, stacked column by column.

    `label` (a number) and `label_ids` (numbers) become `labels`, whole numbers as int64 and others as float32.
    Columns that hold text or None in the first row are left out. Rows are mappings, or objects with attributes.

    Raises:
        CollatorError: a column has rows of different lengths; it is named.
    """
    rows = [row if isinstance(row, Mapping) else vars(row) for row in features]
    label_column(rows)  # refuses an empty list
    first, batch = rows[0], Batch()
    for name in ("label", "label_ids"):
        if first.get(name) is not None:
            batch["labels"] = _stacked(name, [row[name] for row in rows])
            break
    for name, value in first.items():
        if name not in ("label", "label_ids") and value is not None and not isinstance(value, str):
            batch[name] = _stacked(name, [row.get(name) for row in rows])
    return delivered(batch, return_tensors)


def _stacked(name: str, values: list[Any]) -> Tensor:
    try:
        if isinstance(values[0], Tensor):
            return torch.stack(values)
        if isinstance(values[0], list | tuple | int | float | bool):
            return torch.tensor(values)
        return torch.stack([torch.as_tensor(value) for value in values])
    except (ValueError, TypeError, RuntimeError) as error:
        raise CollatorError(
            f"the column {name!r} cannot be stacked: {error}",
            fix="pad it (DataCollatorWithPadding), or drop it (remove_unused_columns)",
        ) from error


_LABELS = ("labels", "label_ids", "label")


@final
@dataclass(frozen=True)
class DefaultDataCollator:
    """`default_data_collator` as an object that remembers the kind of arrays."""

    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[object]) -> Batch:
        """A batch of rows of equal shape."""
        return default_data_collator(features, self.return_tensors)


@final
@dataclass(frozen=True)
class DataCollatorWithPadding:
    """Pads the columns that run along the tokens, as the tokenizer says, to the longest row of the batch.

    Args:
        padding, max_length, pad_to_multiple_of: as for the tokenizer's `pad`.
    """

    tokenizer: Padder
    _: KW_ONLY
    padding: bool | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[Row]) -> Batch:
        """A padded batch; a column `label` or `label_ids` is called `labels`."""
        label_column(features)  # refuses an empty list
        batch = _pad(self, without(features, *_LABELS))
        for name in _LABELS:
            if features[0].get(name) is not None:
                batch["labels"] = _stacked(name, [row[name] for row in features])
        return delivered(batch, self.return_tensors)


@final
@dataclass(frozen=True)
class DataCollatorForTokenClassification:
    """Pads inputs as `DataCollatorWithPadding`, and the label of each token along with them."""

    tokenizer: Padder
    _: KW_ONLY
    padding: bool | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[Row]) -> Batch:
        """A padded batch; labels as long as the inputs. Raises CollatorError where a row has more labels."""
        name = label_column(features)
        batch = _pad(self, without(features, "label", "labels"))
        if name is not None:
            length = batch["input_ids"].shape[1]
            rows = [plain(row[name]) for row in features]
            for index, row in enumerate(rows):
                if len(row) > length:
                    tokens = len(plain(features[index]["input_ids"]))
                    raise CollatorError(f"row {index} of the batch has {len(row)} labels for {tokens} tokens")
            batch["labels"] = padded(rows, length, self.label_pad_token_id, self.tokenizer.padding_side)
        return delivered(batch, self.return_tensors)


@runtime_checkable
class MakesDecoderInputs(Protocol):
    """A model that derives its decoder's inputs from labels."""

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Labels shifted to the right, with the start token in front."""
        ...


@final
@dataclass(frozen=True)
class DataCollatorForSeq2Seq:
    """Pads inputs and labels, each to its own longest row.

    Args:
        model: if it can, it makes `decoder_input_ids` from the labels, which label smoothing needs.
        max_length: length of labels too, with `padding="max_length"`.
    """

    tokenizer: Padder
    model: object = None
    _: KW_ONLY
    padding: bool | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    label_pad_token_id: int = IGNORED
    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[Row]) -> Batch:
        """A padded batch with labels (B, T of the labels)."""
        name = label_column(features)
        batch = _pad(self, without(features, "label", "labels"))
        if name is not None:
            rows = [plain(row[name]) for row in features]
            fixed = self.padding == "max_length" and self.max_length is not None
            longest = self.max_length if fixed else max(map(len, rows))
            length = rounded(longest or 0, self.pad_to_multiple_of)
            if self.padding in (False, "do_not_pad") and len(set(map(len, rows))) > 1:
                raise CollatorError(
                    "labels differ in length, and padding is switched off", fix="set padding=True"
                )
            batch["labels"] = padded(rows, length, self.label_pad_token_id, self.tokenizer.padding_side)
            if isinstance(self.model, MakesDecoderInputs):
                batch["decoder_input_ids"] = self.model.prepare_decoder_input_ids_from_labels(batch["labels"])
        return delivered(batch, self.return_tensors)


@final
@dataclass(frozen=True)
class DataCollatorForMultipleChoice:
    """Pads the texts of all choices of all rows together; a row holds a list of choices in every column.

    The batch has (B, C, T) of C choices each, and labels (B,).
    """

    tokenizer: Padder
    _: KW_ONLY
    padding: bool | PaddingStrategy = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[Row]) -> Batch:
        """A padded batch. Raises CollatorError if rows differ in their number of choices."""
        name = label_column(features)
        rows = without(features, "label", "labels")
        counts = {len(row["input_ids"]) for row in rows}
        if len(counts) != 1:
            raise CollatorError(f"rows have {sorted(counts)} choices, expected the same number in all")
        (choices,) = counts
        flat = [{column: row[column][choice] for column in row} for row in rows for choice in range(choices)]
        batch = {
            column: value.view(len(rows), choices, *value.shape[1:])
            for column, value in _pad(self, flat).items()
        }
        if name is not None:
            batch["labels"] = torch.tensor([int(row[name]) for row in features], dtype=torch.int64)
        return delivered(batch, self.return_tensors)


class _Padding(Protocol):
    @property
    def tokenizer(self) -> Padder: ...
    @property
    def padding(self) -> bool | PaddingStrategy: ...
    @property
    def max_length(self) -> int | None: ...
    @property
    def pad_to_multiple_of(self) -> int | None: ...


def _pad(collator: _Padding, rows: Sequence[Row]) -> Batch:
    encoded = collator.tokenizer.pad(
        [dict(row) for row in rows],
        padding=collator.padding,
        max_length=collator.max_length,
        pad_to_multiple_of=collator.pad_to_multiple_of,
        return_tensors="pt",
    )
    return dict(encoded)
