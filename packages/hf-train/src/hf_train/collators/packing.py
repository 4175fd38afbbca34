"""Several texts in one row without padding; position ids that start again keep them apart in every attention.

B rows, T tokens a row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import final

import torch

from hf_train.collators.common import IGNORED, Batch, CollatorError, Kind, Row, delivered, label_column, plain


@final
@dataclass(frozen=True, kw_only=True)
class DataCollatorWithFlattening:
    """All rows of a batch as one row of all their tokens, (1, total).

    The model numbers the texts by where `position_ids` start again, and no token sees another text: the loss is
    that of the texts one by one, on every attention implementation. Nothing is predicted across a border.

    Args:
        return_position_ids: leave them out only with an attention that is told of borders in another way.
        separator_id: the label of each text's first token.
        return_flash_attn_kwargs: add `cu_seq_lens_q`, `cu_seq_lens_k` (int32) and `max_length_q`, `max_length_k`.
        return_seq_idx: add `seq_idx`, the number of each token's text, int32.
        position_ids_start: of every text; RoBERTa and its relatives count from 2.
    """

    return_tensors: Kind = "pt"
    return_position_ids: bool = True
    separator_id: int = IGNORED
    return_flash_attn_kwargs: bool = False
    return_seq_idx: bool = False
    position_ids_start: int = 0

    def __call__(self, features: Sequence[Row]) -> Batch:
        """One row; labels are those of the rows, or their tokens."""
        label_column(features)
        texts = [plain(row["input_ids"]) for row in features]
        labels = [
            plain(row["labels"] if row.get("labels") is not None else row["input_ids"]) for row in features
        ]
        for index, (text, label) in enumerate(zip(texts, labels, strict=True)):
            if not text or len(text) != len(label):
                raise CollatorError(
                    f"row {index} of the batch has {len(text)} tokens and {len(label)} labels"
                )
        batch: Batch = {
            "input_ids": _joined(texts),
            "labels": _joined([[self.separator_id, *label[1:]] for label in labels]),
        }
        lengths = torch.tensor([len(text) for text in texts], dtype=torch.int32)
        if self.return_position_ids:
            start = self.position_ids_start
            batch["position_ids"] = _joined([range(start, start + len(text)) for text in texts])
        if self.return_seq_idx:
            numbers = torch.arange(len(texts), dtype=torch.int32)
            batch["seq_idx"] = numbers.repeat_interleave(lengths)[None]
        if self.return_flash_attn_kwargs:
            borders = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
            batch |= {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders}
            batch |= dict.fromkeys(("max_length_q", "max_length_k"), int(lengths.max()))
        return delivered(batch, self.return_tensors)


def _joined(rows: Iterable[Iterable[int]]) -> torch.Tensor:
    return torch.tensor([list(chain.from_iterable(rows))], dtype=torch.int64)


def pack(rows: Iterable[Row], length: int, *, window: int = 1000) -> list[dict[str, list[int]]]:
    """Rows of up to `length` tokens, each filled with whole texts: `input_ids`, `labels` and `position_ids`.

    Of every `window` texts, the longest is placed first, in the row that it fills best. A text longer than
    `length` is cut into pieces of that length, each a text of its own. Rows differ in length; give them to
    `PackedCollator`.
    """
    if length < 2:
        raise CollatorError(f"rows of {length} tokens hold no pair of tokens to learn from")
    packed: list[dict[str, list[int]]] = []
    pieces: list[tuple[list[int], list[int]]] = []
    for row in rows:
        pieces += _pieces(row, length)
        if len(pieces) >= window:
            packed += _filled(pieces, length)
            pieces = []
    return packed + _filled(pieces, length)


def _pieces(row: Row, length: int) -> Iterable[tuple[list[int], list[int]]]:
    ids = plain(row["input_ids"])
    labels = plain(row["labels"]) if row.get("labels") is not None else ids
    if len(ids) != len(labels):
        raise CollatorError(f"a text of {len(ids)} tokens has {len(labels)} labels")
    return [(ids[at : at + length], labels[at : at + length]) for at in range(0, len(ids), length)]


def _filled(pieces: list[tuple[list[int], list[int]]], length: int) -> list[dict[str, list[int]]]:
    """Best fit, longest first: at most 11/9 of the fewest possible rows."""
    rows: list[dict[str, list[int]]] = []
    room: list[tuple[int, int]] = []  # free places and index of every row that has some, ascending
    for ids, labels in sorted(pieces, key=lambda piece: -len(piece[0])):
        at = bisect_left(room, (len(ids), -1))
        if at == len(room):
            free, index = length, len(rows)
            rows.append({"input_ids": [], "labels": [], "position_ids": []})
        else:
            free, index = room.pop(at)
        row = rows[index]
        row["input_ids"] += ids
        row["labels"] += [IGNORED, *labels[1:]]
        row["position_ids"] += range(len(ids))
        insort(room, (free - len(ids), index))
    return rows


@final
@dataclass(frozen=True, kw_only=True)
class PackedCollator:
    """Stacks rows that `pack` made, padded on the right to the longest; padding is a text of its own.

    Args:
        pad_token_id: any id; its label is -100, and no other token sees it.
        pad_to: make every batch this long, so that compiled steps see one shape.
    """

    pad_token_id: int = 0
    pad_to: int | None = None
    return_tensors: Kind = "pt"

    def __call__(self, features: Sequence[Row]) -> Batch:
        """`input_ids`, `labels` and `position_ids`, (B, T)."""
        label_column(features)
        rows = [
            {name: plain(row[name]) for name in ("input_ids", "labels", "position_ids")} for row in features
        ]
        longest = max(len(row["input_ids"]) for row in rows)
        length = longest if self.pad_to is None else self.pad_to
        if longest > length:
            raise CollatorError(f"a row has {longest} tokens, and pad_to is {length}")
        filling = {"input_ids": self.pad_token_id, "labels": IGNORED}
        batch: Batch = {
            name: torch.tensor([row[name] + [value] * (length - len(row[name])) for row in rows])
            for name, value in filling.items()
        }
        batch["position_ids"] = torch.tensor(
            [row["position_ids"] + list(range(length - len(row["position_ids"]))) for row in rows]
        )
        return delivered(batch, self.return_tensors)
