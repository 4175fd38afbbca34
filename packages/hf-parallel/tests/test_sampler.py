"""Every row once an epoch, whatever the number of ranks, also when that changes on the way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_parallel import LayoutError
from hf_parallel.sampler import Drawn, ShardedSampler
from hf_parallel.step import Batch


def drawn(samplers: list[ShardedSampler], most: int | None = None) -> list[int]:
    """What all ranks draw together, at most `most` batches each."""
    rows: list[int] = []
    for number, batches in enumerate(zip(*samplers, strict=True), start=1):
        for batch in batches:
            rows += batch.indices[: batch.real]
        if number == most:
            break
    return rows


def ranks(ways: int, length: int, rows: int) -> list[ShardedSampler]:
    return [ShardedSampler(length, rank=rank, ways=ways, rows=rows, seed=3) for rank in range(ways)]


@given(length=st.integers(1, 40), ways=st.integers(1, 5), rows=st.integers(1, 4))
def test_every_row_once_and_ranks_in_step(length: int, ways: int, rows: int) -> None:
    samplers = ranks(ways, length, rows)
    assert len({len(sampler) for sampler in samplers}) == 1
    assert sorted(drawn(samplers)) == list(range(length))
    assert {sampler.epoch for sampler in samplers} == {1}


@given(
    length=st.integers(1, 40),
    before=st.integers(1, 4),
    after=st.integers(1, 4),
    rows=st.integers(1, 3),
    most=st.integers(1, 6),
)
def test_a_run_goes_on_with_another_number_of_ranks(
    length: int, before: int, after: int, rows: int, most: int
) -> None:
    samplers = ranks(before, length, rows)
    first = drawn(samplers, most)
    state = samplers[0].state_dict()
    if state["drawn"] == 0 or state["drawn"] == length:  # the epoch is through
        return
    others = ranks(after, length, rows + 1)
    for other in others:
        other.load_state_dict(state)
    assert sorted(first + drawn(others)) == list(range(length))


def test_epochs_differ_and_repeat_by_seed() -> None:
    sampler = ShardedSampler(30, rank=0, ways=1, rows=30)
    one, two = drawn([sampler]), drawn([sampler])
    assert one != two
    assert drawn([ShardedSampler(30, rank=0, ways=1, rows=30)]) == one


def test_fillers_do_not_count() -> None:
    batch = Batch(input_ids=torch.ones(2, 3, dtype=torch.long), targets=torch.ones(2, 3, dtype=torch.long))
    marked = Drawn(indices=(4, 0), real=1).of(batch)
    assert marked.targets.tolist() == [[1, 1, 1], [-100, -100, -100]]


def test_a_state_of_another_data_set() -> None:
    sampler = ShardedSampler(5, rank=0, ways=1, rows=1)
    with pytest.raises(LayoutError, match="of 4 rows, and the data set has 5"):
        sampler.load_state_dict(ShardedSampler(4, rank=0, ways=1, rows=1).state_dict())
