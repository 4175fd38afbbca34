"""Padding of rows that were encoded before: `tokenizer.pad`, the collate step of training and batching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, cast, runtime_checkable

from hf_tokenize.batch import BatchEncoding
from hf_tokenize.errors import OptionError
from hf_tokenize.options import Padding, TensorType
from hf_tokenize.tensors import Nested, nested_to_tensor


@runtime_checkable
class SupportsToList(Protocol):
    """An array or tensor, as far as this package needs to know one."""

    def tolist(self) -> object: ...


Encoded: TypeAlias = "Mapping[str, object] | Sequence[Mapping[str, object]]"
"""One encoded row or batch by column, or a list of rows."""


def pad_rows(
    encoded: Encoded,
    padding: Padding | None,
    *,
    main: str,
    attention_mask: bool,
    tensors: TensorType | None,
) -> BatchEncoding[object]:
    """The batch with every row of its token columns padded; `main` is the column that sets the lengths.

    Token columns are the ids, `attention_mask` (added when asked for and missing), `token_type_ids` and
    `special_tokens_mask`; others pass through. Raises OptionError when `main` is missing or columns differ
    in rows.
    """
    columns = _columns(encoded)
    if main not in columns:
        raise OptionError(
            f"there is no {main} to pad, only {', '.join(columns) or 'nothing'}",
            fix=f"pass what the tokenizer returned, or a mapping with {main}",
        )
    single = not (columns[main] and isinstance(columns[main][0], list))
    if single:
        columns = {name: [column] for name, column in columns.items()}
    ids = cast("list[list[int]]", columns[main])
    for name, column in columns.items():
        if len(column) != len(ids):
            raise OptionError(
                f"{name} has {len(column)} rows and {main} has {len(ids)}", fix="pass matching rows"
            )
    if attention_mask and "attention_mask" not in columns:
        columns["attention_mask"] = [[1] * len(row) for row in ids]
    if padding is not None:
        length = padding.target(max(map(len, ids), default=0))
        fillers = {
            main: padding.id,
            "attention_mask": 0,
            "token_type_ids": padding.type_id,
            "special_tokens_mask": 1,
        }
        left = padding.side == "left"
        for name, filler in fillers.items():
            if name in columns:
                rows = cast("list[list[int]]", columns[name])
                gaps = [[filler] * (length - len(ids[i])) for i in range(len(rows))]
                columns[name] = [
                    gap + row if left else row + gap for row, gap in zip(rows, gaps, strict=True)
                ]
    data: dict[str, object] = {name: column[0] if single else column for name, column in columns.items()}
    if tensors is not None:
        data = {
            name: nested_to_tensor(cast("Nested", value), tensors, name=name) for name, value in data.items()
        }
    return BatchEncoding(data)


def _columns(encoded: Encoded) -> dict[str, list[object]]:
    if isinstance(encoded, Mapping):
        given: Mapping[str, object] = encoded
    else:
        given = {name: [row[name] for row in encoded] for name in (encoded[0] if encoded else ())}
    return {name: _plain(value, name) for name, value in given.items()}


def _plain(value: object, name: str) -> list[object]:
    if isinstance(value, SupportsToList):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise OptionError(
            f"{name} is a {type(value).__name__}, not rows of numbers", fix=f"take {name!r} out first"
        )
    return [item.tolist() if isinstance(item, SupportsToList) else item for item in value]
