"""Masks against the sentence that defines each rule, and in the cheapest form that says the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_modeling.cache import Append, DynamicCache, Ring
from hf_modeling.errors import InputError
from hf_modeling.masks import OPEN, Mask, packed_position_ids, segment_starts, segments
from hf_modeling.spec import Bidirectional, BidirectionalWindow, Causal, Chunk, MaskRule, Window
from hf_modeling.step import begin

CPU = torch.device("cpu")

SENTENCES: dict[MaskRule, Callable[[int, int], bool]] = {
    Causal(): lambda q, k: k <= q,
    Window(size=3): lambda q, k: q - 3 < k <= q,
    Chunk(size=4): lambda q, k: k <= q and k // 4 == q // 4,
    Bidirectional(): lambda q, k: True,
    BidirectionalWindow(size=3): lambda q, k: abs(q - k) < 3,
}


def written_out(mask: Mask, queries: int, keys: int) -> Tensor:
    dense = mask.dense(queries, keys, CPU)
    if dense is None:
        return torch.ones(1, queries, keys, dtype=torch.bool)
    return dense.squeeze(1)


@pytest.mark.parametrize("rule", SENTENCES)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 9])
def test_rules_without_padding(rule: MaskRule, length: int) -> None:
    mask = begin(batch=2, new=length, device=CPU).mask(rule)
    expected = [[SENTENCES[rule](q, k) for k in range(length)] for q in range(length)]
    assert written_out(mask, length, length).tolist() == [expected]


@settings(deadline=None, max_examples=60)
@given(
    rule=st.sampled_from(list(SENTENCES)),
    valid=st.lists(st.booleans(), min_size=1, max_size=9),
)
def test_real_tokens_see_real_tokens_that_the_rule_allows(rule: MaskRule, valid: list[bool]) -> None:
    length, first = len(valid), valid.index(True) if any(valid) else 0
    step = begin(batch=1, new=length, device=CPU, attention_mask=torch.tensor([valid]).long())
    seen = written_out(step.mask(rule), length, length)[0]
    for q in range(length):
        assert seen[q].any(), "a softmax over nothing"
        for k in range(length):
            if valid[q]:
                assert bool(seen[q, k]) == (valid[k] and SENTENCES[rule](q - first, k - first))


@settings(deadline=None, max_examples=60)
@given(
    window=st.none() | st.integers(1, 5),
    slack=st.integers(0, 3),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
)
def test_steps_with_a_cache_see_what_one_call_would(
    window: int | None, slack: int, lengths: list[int]
) -> None:
    state = Append(heads=1, features=1) if window is None else Ring(heads=1, features=1, window=window)
    rule: MaskRule = Causal() if window is None else Window(size=window)
    cache = DynamicCache(({"key": state},), slack=slack)
    past = 0
    with torch.no_grad():
        for new in lengths:
            step = begin(batch=1, new=new, device=CPU, cache=cache)
            keys = cache.extend(0, "key", torch.arange(past, past + new).float().view(1, 1, new, 1)).flatten()
            seen = written_out(step.mask(rule), new, len(keys))[0]
            for row in range(new):
                q = past + row
                visible = keys[seen[row]].tolist()
                assert visible == [
                    k for k in range(q + 1) if SENTENCES[Causal()](q, k) and k > q - (window or 99)
                ]
            cache.advance(new, step.valid_BS, step.next_position_B1)
            past += new


def test_no_tensor_where_none_is_needed() -> None:
    cache = DynamicCache(({"key": Ring(heads=1, features=1, window=4)},))
    cache.advance(9, None, None)
    assert begin(batch=2, new=5, device=CPU).mask(Causal()) == Mask(causal=True)
    assert begin(batch=2, new=5, device=CPU).mask(Window(size=5)) == Mask(causal=True)
    assert begin(batch=2, new=5, device=CPU).mask(Bidirectional()) == OPEN
    assert begin(batch=2, new=1, device=CPU, cache=cache).mask(Causal()) == OPEN
    assert begin(batch=2, new=1, device=CPU, cache=cache).mask(Window(size=4)) == OPEN
    whole = torch.ones(2, 5, dtype=torch.long)
    assert begin(batch=2, new=5, device=CPU, attention_mask=whole).mask(Causal()) == Mask(causal=True)


def test_a_mask_is_made_once_a_step() -> None:
    step = begin(batch=1, new=5, device=CPU, attention_mask=torch.tensor([[0, 1, 1, 1, 1]]))
    assert step.mask(Causal()) is step.mask(Causal())
    assert step.mask(Causal()) is not step.mask(Window(size=2))


@pytest.mark.parametrize("rule", SENTENCES)
def test_packed_sequences_do_not_see_each_other(rule: MaskRule) -> None:
    positions = packed_position_ids(torch.tensor([0, 3, 4, 9]))
    assert positions.tolist() == [[0, 1, 2, 0, 0, 1, 2, 3, 4]]
    seen = written_out(begin(batch=1, new=9, device=CPU, position_ids=positions).mask(rule), 9, 9)[0]
    number = [0, 0, 0, 1, 2, 2, 2, 2, 2]
    start = [0, 3, 4]
    for q in range(9):
        for k in range(9):
            apart = number[q] != number[k]
            inside = SENTENCES[rule](q - start[number[q]], k - start[number[k]])
            assert bool(seen[q, k]) == (not apart and inside)


def test_segments_and_their_starts() -> None:
    assert segments(torch.tensor([[3, 4, 5, 6]])) is None
    numbers = segments(torch.tensor([[0, 1, 0, 1, 2], [0, 1, 2, 3, 4]]))
    assert numbers is not None
    assert numbers.tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert segment_starts(numbers).tolist() == [[0, 0, 2, 2, 2], [0, 0, 0, 0, 0]]


def test_cumulative_lengths_must_be_that() -> None:
    with pytest.raises(InputError, match=r"\[0, 4, 4\] are not cumulative lengths"):
        packed_position_ids(torch.tensor([0, 4, 4]))
    with pytest.raises(InputError, match=r"\[1, 4\] are not"):
        packed_position_ids(torch.tensor([1, 4]))


def test_blocks_see_both_ways() -> None:
    blocks = torch.tensor([[0, 0, -1, 1, 1]])
    seen = written_out(begin(batch=1, new=5, device=CPU, blocks=blocks).mask(Causal()), 5, 5)[0]
    expected = torch.ones(5, 5).tril().bool()
    expected[0, 1] = expected[3, 4] = True
    assert torch.equal(seen, expected)


def test_a_mask_of_four_axes_replaces_every_rule() -> None:
    given = torch.rand(2, 1, 3, 3) > 0.5
    step = begin(batch=2, new=3, device=CPU, attention_mask=given)
    assert step.mask(Causal()).allowed is given
    assert step.mask(Window(size=2)).allowed is given


def test_positions_count_real_tokens() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 1], [1, 1, 1, 1]])
    step = begin(batch=4, new=4, device=CPU, attention_mask=mask)
    real = [row[keep].tolist() for row, keep in zip(step.positions_BT, mask.bool(), strict=True)]
    assert real == [[0, 1], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert step.next_position_B1 is not None
    assert step.next_position_B1.flatten().tolist() == [2, 2, 3, 4]


def test_given_positions_win() -> None:
    mask = torch.tensor([[0, 1, 1]])
    step = begin(batch=1, new=3, device=CPU, attention_mask=mask, position_ids=torch.tensor([[7, 8, 9]]))
    assert step.positions_BT.tolist() == [[7, 8, 9]]
    assert step.longest() == 10


def test_mismatched_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"attention_mask has shape \(2, 4\), expected \(2, 5\)"):
        begin(batch=2, new=5, device=CPU, attention_mask=torch.ones(2, 4))
    with pytest.raises(InputError, match=r"position_ids has shape \(2, 4\), expected \(2, 5\)"):
        begin(batch=2, new=5, device=CPU, position_ids=torch.ones(2, 4))
