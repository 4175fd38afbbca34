"""Truncation as a choice of positions: which tokens of a finished encoding stay.

An engine gives the whole text with its special tokens. The special tokens always stay; of the tokens that
come from text A and text B, windows stay. So nothing is ever set on the engine, and every engine truncates
alike. The rules, down to the order of windows, are those of the `tokenizers` library.
"""

from __future__ import annotations

from collections.abc import Sequence

from hf_tokenize.errors import OptionError
from hf_tokenize.options import Side, Truncation, TruncationStrategy

Window = tuple[int, int]


def windows(count: int, size: int, stride: int, side: Side) -> list[Window]:
    """The windows of at most `size` tokens that cover `count` tokens and share `stride` with the next one.

    From the start for side "right", from the end for "left". Raises OptionError for a stride as large as
    `size`.
    """
    if count <= size:
        return [(0, count)]
    if size == 0:
        return [(0, 0), (0, count)]
    if stride >= size:
        raise OptionError(
            f"stride={stride} leaves no progress: {size} tokens of this text fit into max_length",
            fix=f"use a stride below {size}, or a larger max_length",
        )
    step = size - stride
    starts = range(0, count - size + step, step)
    if side == "right":
        return [(start, min(start + size, count)) for start in starts]
    return [(max(count - start - size, 0), count - start) for start in starts]


def share(first: int, second: int, room: int, strategy: TruncationStrategy) -> tuple[int, int]:
    """How many tokens of each text stay when `room` tokens are left for both. Raises OptionError."""
    surplus = first + second - room
    if surplus <= 0:
        return first, second
    match strategy:
        case "longest_first":
            return _share_longest_first(first, second, room)
        case "only_first" if first > surplus:
            return first - surplus, second
        case "only_second" if second > surplus:
            return first, second - surplus
        case _:
            which, length = ("first", first) if strategy == "only_first" else ("second", second)
            raise OptionError(
                f"truncation={strategy!r} has to remove {surplus} tokens, and the {which} text has {length}",
                fix="use truncation='longest_first', or a larger max_length",
            )


def _share_longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if first > second else (short, long)


def truncate(sequence_ids: Sequence[int | None], truncation: Truncation) -> list[list[slice]] | None:
    """The pieces of each resulting row, the main one first; None when the row fits as it is.

    `sequence_ids` has one entry per token: 0 or 1 for the texts, None for special tokens. Raises OptionError.
    """
    total = len(sequence_ids)
    if total <= truncation.max_length:
        return None
    first_at, first = _span(sequence_ids, 0)
    second_at, second = _span(sequence_ids, 1)
    room = truncation.max_length - (total - first - second)
    if room < 0:
        raise OptionError(
            f"max_length={truncation.max_length} is less than the {total - first - second} special tokens "
            "of this tokenizer's template",
            fix="use a larger max_length, or add_special_tokens=False",
        )
    keep_first, keep_second = share(first, second, room, truncation.strategy)
    stride, side = truncation.stride, truncation.side
    rows_first = windows(first, keep_first, stride, side)
    rows_second = windows(second, keep_second, stride, side)
    # The order of the engine: later windows of the first text, each with all of the second, then the reverse.
    pairs = [(rows_first[0], rows_second[0])]
    pairs += [(a, b) for a in rows_first[1:] for b in rows_second]
    pairs += [(rows_first[0], b) for b in rows_second[1:]]
    return [_pieces(total, (first_at, first, a), (second_at, second, b)) for a, b in pairs]


def _span(sequence_ids: Sequence[int | None], sequence: int) -> tuple[int, int]:
    count = sequence_ids.count(sequence)
    return (sequence_ids.index(sequence), count) if count else (len(sequence_ids), 0)


def _pieces(total: int, *texts: tuple[int, int, Window]) -> list[slice]:
    pieces, done = [], 0
    for at, count, (start, stop) in sorted(texts):
        pieces += [slice(done, at), slice(at + start, at + stop)]
        done = at + count
    return [*pieces, slice(done, total)]
