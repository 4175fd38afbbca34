"""Laws of the growing cache: what it gives back, takes back, moves and costs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_modeling.cache import Append, Cache, DynamicCache, Layout, Replace, Ring
from hf_modeling.errors import CacheError

CPU = torch.device("cpu")
LAYOUT: Layout = (
    {"key": Append(heads=2, features=3), "value": Append(heads=2, features=5)},
    {"key": Ring(heads=1, features=3, window=4)},
)
WITH_STATE: Layout = (*LAYOUT, {"state": Replace(shape=(3,))})


def tokens(first: int, count: int, rows: int = 2, heads: int = 2, features: int = 3) -> Tensor:
    """Tokens whose every number is their order plus a thousand times their row."""
    order = torch.arange(first, first + count).float() + 1000 * torch.arange(rows)[:, None]
    return order[:, None, :, None].expand(rows, heads, count, features)


def orders(visible: Tensor, row: int = 0) -> list[int]:
    return [int(n) - 1000 * row for n in visible[row, 0, :, 0].tolist()]


def add(cache: Cache, count: int, rows: int = 2) -> tuple[Tensor, Tensor]:
    past = cache.length
    whole = cache.extend(0, "key", tokens(past, count, rows))
    cache.extend(0, "value", tokens(past, count, rows, features=5))
    recent = cache.extend(1, "key", tokens(past, count, rows, heads=1))
    cache.advance(count, None, None)
    return whole, recent


@settings(deadline=None, max_examples=60)
@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=30), slack=st.integers(0, 4))
def test_everything_or_the_window_comes_back_in_order(counts: list[int], slack: int) -> None:
    cache = DynamicCache(LAYOUT, slack=slack)
    with torch.no_grad():
        for count in counts:
            past, total = cache.length, cache.length + count
            expected = cache.key_order(4, count, CPU).tolist()
            whole, recent = add(cache, count)
            assert orders(whole) == list(range(total))
            assert orders(whole, row=1) == list(range(total))
            assert orders(recent) == expected == list(range(max(0, past - 3 - slack), total))
    assert cache.get_seq_length() == sum(counts)


@pytest.mark.parametrize("remove", [1, 3])
def test_tokens_taken_back_are_written_over(remove: int) -> None:
    cache = DynamicCache(LAYOUT, slack=3)
    with torch.no_grad():
        for count in (5, 1, 1):
            add(cache, count)
        cache.crop(-remove)
        assert cache.length == 7 - remove
        whole, recent = add(cache, 2)
    assert orders(whole) == list(range(9 - remove))
    assert orders(recent)[-6:] == list(range(9 - remove))[-6:]


def test_a_window_cannot_give_back_what_it_forgot() -> None:
    cache = DynamicCache(LAYOUT)
    with torch.no_grad():
        for count in (200, 1):
            add(cache, count)
    with pytest.raises(CacheError, match=r"cannot go back from 201 to 150.*\n.*slack=51"):
        cache.crop(150)
    assert cache.length == 201


def test_recurrent_states_cannot_go_back() -> None:
    cache = DynamicCache(WITH_STATE)
    assert cache.get(2, "state") is None
    cache.put(2, "state", torch.ones(2, 3))
    cache.advance(4, None, None)
    with pytest.raises(CacheError, match="recurrent layers keep only their last state"):
        cache.crop(2)
    cache.crop(0)
    assert cache.get(2, "state") is None


def test_rows_move_together() -> None:
    cache = DynamicCache(WITH_STATE)
    valid = torch.tensor([[True, True, True], [False, True, True]])
    with torch.no_grad():
        add(cache, 3)
        cache.put(2, "state", torch.tensor([[0.0] * 3, [1.0] * 3]))
        cache.length = 0
        cache.advance(3, valid, torch.tensor([[3], [2]]))
        cache.reorder(torch.tensor([1, 1, 0]))
        past = cache.length
        whole = cache.extend(0, "key", tokens(past, 1, rows=3))
    assert whole[:, 0, :3, 0].tolist() == [[1000, 1001, 1002], [1000, 1001, 1002], [0, 1, 2]]
    state = cache.get(2, "state")
    assert state is not None
    assert state[:, 0].tolist() == [1, 1, 0]
    assert cache.valid_BS is not None
    assert cache.valid_BS.tolist() == [valid[1].tolist(), valid[1].tolist(), valid[0].tolist()]
    assert cache.next_position_B1 is not None
    assert cache.next_position_B1.flatten().tolist() == [2, 2, 3]


def test_rows_repeat_side_by_side() -> None:
    cache = DynamicCache(LAYOUT)
    with torch.no_grad():
        add(cache, 2)
        cache.batch_repeat_interleave(2)
        whole = cache.extend(0, "key", tokens(2, 1, rows=4))
    assert whole[:, 0, 0, 0].tolist() == [0, 0, 1000, 1000]


def test_a_clone_goes_its_own_way() -> None:
    cache = DynamicCache(LAYOUT)
    with torch.no_grad():
        add(cache, 3)
        copy = cache.clone()
        add(copy, 2)
        whole, _ = add(cache, 1)
    assert (cache.length, copy.length) == (4, 5)
    assert orders(whole) == [0, 1, 2, 3]


def test_taking_back_padding_leaves_positions_alone() -> None:
    cache = DynamicCache(LAYOUT)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    with torch.no_grad():
        add(cache, 3)
    cache.advance(0, valid, torch.tensor([[2], [3]]))
    cache.crop(2)
    assert cache.next_position_B1 is not None
    assert cache.next_position_B1.flatten().tolist() == [2, 2]


def test_memory_grows_by_shares_and_windows_stay_small() -> None:
    cache = DynamicCache(LAYOUT)
    grown = 0
    with torch.no_grad():
        for _ in range(2000):
            before = cache.nbytes()
            add(cache, 1)
            grown += cache.nbytes() != before
    assert grown < 60
    needed = 2 * 2 * (3 + 5) * 4 * 2000
    assert needed <= cache.nbytes() <= 1.3 * needed + 10_000


def test_a_long_prompt_keeps_only_its_end_where_there_is_a_window() -> None:
    cache = DynamicCache(({"key": Ring(heads=1, features=1, window=10)},))
    with torch.no_grad():
        assert cache.extend(0, "key", torch.zeros(1, 1, 5000, 1)).shape[2] == 5000
    assert cache.nbytes() < 100 * 4


def test_what_inference_mode_wrote_can_be_continued_outside() -> None:
    cache = DynamicCache(LAYOUT)
    with torch.inference_mode():
        add(cache, 3)
        cache.reorder(torch.tensor([1, 0]))
    with torch.no_grad():
        whole, _ = add(cache, 1)
    assert whole.shape[2] == 4


def test_gradients_pass_through_what_is_remembered() -> None:
    cache = DynamicCache(({"key": Append(heads=1, features=1)},))
    first = torch.ones(1, 1, 2, 1, requires_grad=True)
    second = torch.ones(1, 1, 1, 1, requires_grad=True)
    cache.extend(0, "key", first)
    cache.advance(2, None, None)
    (3 * cache.extend(0, "key", second)).sum().backward()
    assert first.grad is not None
    assert second.grad is not None
    assert first.grad.flatten().tolist() == [3, 3]
    assert second.grad.flatten().tolist() == [3]


def test_a_step_that_failed_is_written_over() -> None:
    cache = DynamicCache(LAYOUT)
    with torch.no_grad():
        add(cache, 3)
        cache.extend(0, "key", tokens(900, 2))
        whole, _ = add(cache, 1)
    assert orders(whole) == [0, 1, 2, 3]
