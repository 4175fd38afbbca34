"""Truncation keeps special tokens, cuts where it is told to, and its windows lose nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_tokenize import PreTrainedTokenizer
from hf_tokenize.errors import OptionError
from hf_tokenize.options import Truncation, TruncationStrategy
from hf_tokenize.truncation import share, truncate, windows

Get = Callable[[str], PreTrainedTokenizer]
TEXT = "The quick brown fox jumps over the lazy dog and runs away from 3 bears"


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 19), st.sampled_from(["left", "right"]))
def test_windows_cover_every_token_and_overlap_by_the_stride(
    count: int, size: int, stride: int, side: str
) -> None:
    if stride >= size:
        if count > size:
            with pytest.raises(OptionError, match=f"stride={stride} leaves no progress"):
                windows(count, size, stride, "left")
        return
    found = windows(count, size, stride, "left" if side == "left" else "right")
    assert set().union(*(range(start, stop) for start, stop in found)) == set(range(count))
    assert all(stop - start <= size for start, stop in found)
    ordered = sorted(found)
    overlaps = [first[1] - second[0] for first, second in itertools.pairwise(ordered)]
    assert all(overlap >= stride for overlap in overlaps)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60))
def test_longest_first_uses_the_room_and_cuts_the_longer(first: int, second: int, room: int) -> None:
    kept = share(first, second, room, "longest_first")
    assert kept[0] <= first
    assert kept[1] <= second
    assert sum(kept) == min(first + second, room)
    if sum(kept) < first + second and min(first, second) <= room // 2:
        assert min(kept) == min(first, second), "the shorter text is cut only when both must be"


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_one_sided_strategies_refuse_what_they_cannot(strategy: TruncationStrategy) -> None:
    with pytest.raises(
        OptionError, match=f"truncation='{strategy}' has to remove 15 tokens, and the .* text has 10"
    ):
        share(10, 10, 5, strategy)


def test_special_tokens_stay(each: PreTrainedTokenizer) -> None:
    full = each(TEXT)
    room = len(full["input_ids"]) - 3
    special = full[0].special_tokens_mask
    cut = each(TEXT, truncation=True, max_length=room, return_special_tokens_mask=True)
    assert len(cut["input_ids"]) == room
    assert sum(cut["special_tokens_mask"]) == sum(special)


def test_left_truncation_keeps_the_end(each: PreTrainedTokenizer) -> None:
    plain = each(TEXT, add_special_tokens=False)["input_ids"]
    cut = each(TEXT, add_special_tokens=False, truncation=True, max_length=4, truncation_side="left")
    assert cut["input_ids"] == plain[-4:]


@pytest.mark.parametrize("pair", [None, "a second text that is rather long too, with many words"])
def test_overflowing_windows_cover_the_text(each: PreTrainedTokenizer, pair: str | None) -> None:
    whole = each(TEXT, pair)[0]
    batch = each(TEXT, pair, max_length=14, truncation=True, stride=1, return_overflowing_tokens=True)
    assert all(len(row) <= 14 for row in batch["input_ids"])
    samples: object = batch["overflow_to_sample_mapping"]
    assert samples == [0] * len(batch["input_ids"])
    for sequence in range(whole.n_sequences):
        wanted = {whole.offsets[i] for i in range(len(whole)) if whole.sequence_ids[i] == sequence}
        seen = {e.offsets[i] for e in batch.encodings for i in range(len(e)) if e.sequence_ids[i] == sequence}
        assert seen == wanted


def test_types_are_the_templates_in_every_window(get: Get) -> None:
    batch = get("wordpiece")("a b c d e f g h", "i j k l m n", max_length=9, truncation=True, stride=1,
                             return_overflowing_tokens=True)  # fmt: skip
    for row, encoding in enumerate(batch.encodings):
        for type_id, sequence in zip(batch["token_type_ids"][row], encoding.sequence_ids, strict=True):
            assert sequence is None or type_id == sequence


def test_truncate_says_none_when_everything_fits() -> None:
    plan = Truncation("longest_first", 4, 0, "right")
    assert truncate([None, 0, 0, None], plan) is None
    rows = truncate([None, 0, 0, 0, None], plan)
    assert rows is not None
    assert [[at for piece in row for at in range(5)[piece]] for row in rows] == [[0, 1, 2, 4], [0, 3, 4]]


def test_bad_lengths(get: Get) -> None:
    tokenizer = get("wordpiece")
    with pytest.raises(OptionError, match="max_length=-1 is not a number of tokens"):
        tokenizer(TEXT, truncation=True, max_length=-1)
    with pytest.raises(OptionError, match="max_length=1 is less than the 2 special tokens"):
        tokenizer(TEXT, truncation=True, max_length=1)
    with pytest.raises(OptionError, match="truncation='longest' is unknown"):
        tokenizer(TEXT, truncation="longest")  # type: ignore[call-overload]  # the mistake is the point
    with pytest.raises(OptionError, match="max_length=10 is not a multiple of pad_to_multiple_of=8"):
        tokenizer(TEXT, truncation=True, max_length=10, padding=True, pad_to_multiple_of=8)
    with pytest.raises(OptionError, match="padding_side='middle' is unknown"):
        tokenizer(TEXT, padding=True, padding_side="middle")  # type: ignore[call-overload]  # as above
    with pytest.raises(OptionError, match="pad_to_multiple_of=0 is not positive"):
        tokenizer(TEXT, padding=True, pad_to_multiple_of=0)
    with pytest.raises(OptionError, match="stride=-2 is not a number of tokens"):
        tokenizer(TEXT, truncation=True, max_length=8, stride=-2)
