"""From texts to columns: encode, truncate, pad, collect. Each step is a function; none keeps state."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from hf_tokenize.batch import BatchEncoding
from hf_tokenize.encoding import Encoding, RawEncoding, make_encoding, pad_encoding
from hf_tokenize.engine import Engine
from hf_tokenize.errors import OptionError
from hf_tokenize.inputs import TextItem
from hf_tokenize.options import Padding, Request, Side, TensorType, Truncation
from hf_tokenize.tensors import as_tensor, nested_to_tensor, pack_mask, pack_rows
from hf_tokenize.truncation import truncate


class Plan(NamedTuple):
    """Everything a call has decided before the first text is looked at."""

    request: Request
    truncation: Truncation | None
    padding: Padding | None
    type_ids: bool
    attention_mask: bool


class Row(NamedTuple):
    """A row of the result: those `pieces` (all, when None) of what the engine gave for text `sample`."""

    raw: RawEncoding
    pieces: list[slice] | None
    sample: int

    def pick(self, values: list[int]) -> list[int]:
        """The values, one per token of the engine, that stay in this row."""
        if self.pieces is None:
            return values
        return [value for piece in self.pieces for value in values[piece]]


def encode(
    engine: Engine, items: Sequence[TextItem], plan: Plan, *, batched: bool, tensors: TensorType | None
) -> BatchEncoding[object]:
    """The finished batch; without `batched` and `tensors` the batch axis is dropped. Raises TokenizeError."""
    request = plan.request
    raws, complete = engine.encode(
        items,
        words=request.is_split_into_words,
        specials=request.add_special_tokens,
        details=request.return_offsets_mapping,
    )
    rows = make_rows(raws, plan)
    details = partial(_details, rows, engine, items, plan, complete)
    ids = [row.pick(row.raw.ids) for row in rows]
    data: dict[str, object] = (
        _list_columns(rows, ids, plan) if tensors is None else _tensor_columns(rows, ids, plan, tensors)
    )
    if request.return_overflowing_tokens:
        samples = [row.sample for row in rows]
        data["overflow_to_sample_mapping"] = (
            samples if tensors is None else nested_to_tensor(samples, tensors, name="samples")
        )
    elif not batched and tensors is None:
        data = {name: column[0] for name, column in data.items() if isinstance(column, list)}
    return BatchEncoding(data, details=details)


def encode_plainly(engine: Engine, text: str, plan: Plan) -> BatchEncoding[list[int]]:
    """What `encode` gives for one text and no options, by the shortest way there. Raises TokenizeError."""
    raws, complete = engine.encode((text,), words=False, specials=True, details=False)
    raw = raws[0]
    ids = raw.ids
    data = {"input_ids": ids}
    if plan.type_ids:
        data["token_type_ids"] = raw.type_ids
    if plan.attention_mask:
        data["attention_mask"] = [1] * len(ids)
    details = partial(_details_of_one, raw, engine, text, plan, complete)
    batch: BatchEncoding[list[int]] = BatchEncoding(details=details)
    batch.data = data  # as it is: nobody else has it
    return batch


def make_rows(raws: Sequence[RawEncoding], plan: Plan) -> list[Row]:
    """The rows after truncation; further windows of a text follow it when they were asked for."""
    truncation = plan.truncation
    if truncation is None:
        return [Row(raw, None, sample) for sample, raw in enumerate(raws)]
    overflow = plan.request.return_overflowing_tokens
    rows: list[Row] = []
    for sample, raw in enumerate(raws):
        cut = truncate(raw.sequence_ids, truncation) if len(raw.ids) > truncation.max_length else None
        if cut is None:
            rows.append(Row(raw, None, sample))
        else:
            rows.extend(Row(raw, pieces, sample) for pieces in (cut if overflow else cut[:1]))
    return rows


def _details(
    rows: list[Row], engine: Engine, items: Sequence[TextItem], plan: Plan, complete: bool
) -> tuple[Encoding, ...]:
    if not complete:
        request = plan.request
        raws, _ = engine.encode(
            items, words=request.is_split_into_words, specials=request.add_special_tokens, details=True
        )
        rows = make_rows(raws, plan)
    encodings = [make_encoding(row.raw, row.pieces) for row in rows]
    if plan.padding is not None and encodings:
        target = plan.padding.target(max(map(len, encodings)))
        encodings = [pad_encoding(encoding, plan.padding, target) for encoding in encodings]
    return tuple(encodings)


def _details_of_one(
    raw: RawEncoding, engine: Engine, text: str, plan: Plan, complete: bool
) -> tuple[Encoding, ...]:
    return _details([Row(raw, None, 0)], engine, (text,), plan, complete)


def _pad(row: list[int], filler: int, length: int, side: Side) -> list[int]:
    missing = length - len(row)
    if missing <= 0:
        return row
    return row + [filler] * missing if side == "right" else [filler] * missing + row


def _list_columns(rows: list[Row], ids: list[list[int]], plan: Plan) -> dict[str, object]:
    request, padding = plan.request, plan.padding
    length, pad_id, pad_type = 0, 0, 0
    side: Side = "right"
    if padding is not None:
        length = padding.target(max(map(len, ids), default=0))
        side, pad_id, pad_type = padding.side, padding.id, padding.type_id
    data: dict[str, object] = {
        "input_ids": [_pad(row, pad_id, length, side) for row in ids] if length else ids
    }
    if plan.type_ids:
        data["token_type_ids"] = [_pad(row.pick(row.raw.type_ids), pad_type, length, side) for row in rows]
    if plan.attention_mask:
        data["attention_mask"] = [_pad([1] * len(row), 0, length, side) for row in ids]
    if request.return_special_tokens_mask:
        data["special_tokens_mask"] = [
            _pad(row.pick(row.raw.special_tokens_mask), 1, length, side) for row in rows
        ]
    if request.return_offsets_mapping:
        data["offset_mapping"] = [_offsets(row, length, side) for row in rows]
    if request.return_length:
        data["length"] = [max(len(row), length) for row in ids]
    return data


def _offsets(row: Row, length: int, side: Side) -> list[tuple[int, int]]:
    offsets = row.raw.offsets
    if row.pieces is not None:
        offsets = [offset for piece in row.pieces for offset in offsets[piece]]
    missing = [(0, 0)] * (length - len(offsets))
    return offsets + missing if side == "right" else missing + offsets


def _tensor_columns(rows: list[Row], ids: list[list[int]], plan: Plan, kind: TensorType) -> dict[str, object]:
    request, padding = plan.request, plan.padding
    lengths = list(map(len, ids))
    longest = max(lengths, default=0)
    length = longest if padding is None else padding.target(longest)
    if any(count != length for count in lengths) and (padding is None or longest > length):
        raise OptionError(
            f"rows of {min(lengths)} to {longest} tokens cannot be one tensor",
            fix="pass padding=True, and truncation=True with padding='max_length'",
        )
    side: Side = "right" if padding is None else padding.side
    pad_id, pad_type = (0, 0) if padding is None else (padding.id, padding.type_id)
    shape = (len(ids), length)
    data: dict[str, object] = {"input_ids": as_tensor(pack_rows(ids, length, pad_id, side), shape, kind)}
    if plan.type_ids:
        types = [row.pick(row.raw.type_ids) for row in rows]
        data["token_type_ids"] = as_tensor(pack_rows(types, length, pad_type, side), shape, kind)
    if plan.attention_mask:
        data["attention_mask"] = as_tensor(pack_mask(lengths, length, side), shape, kind)
    if request.return_special_tokens_mask:
        masks = [row.pick(row.raw.special_tokens_mask) for row in rows]
        data["special_tokens_mask"] = as_tensor(pack_rows(masks, length, 1, side), shape, kind)
    if request.return_offsets_mapping:
        offsets = [_offsets(row, length, side) for row in rows]
        data["offset_mapping"] = nested_to_tensor(offsets, kind, name="offset_mapping")
    if request.return_length:
        data["length"] = nested_to_tensor([length] * len(ids), kind, name="length")
    return data
