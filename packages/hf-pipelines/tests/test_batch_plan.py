from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_pipelines.plan import plan_batches
from hf_pipelines.task import UNLIMITED, Limits

lengths_lists = st.lists(st.integers(0, 300), max_size=60)
limits_values = st.builds(
    Limits,
    tokens=st.integers(1, 1_000),
    rows=st.integers(1, 20),
    lookahead=st.just(1),
    overhead=st.integers(0, 100),
)


def cost(batches: Sequence[Sequence[int]], lengths: Sequence[int], limits: Limits) -> int:
    return sum(limits.overhead + len(b) * max(*(lengths[i] for i in b), 1) for b in batches)


@given(lengths_lists, limits_values)
def test_every_row_is_in_exactly_one_batch_within_the_limits(lengths: list[int], limits: Limits) -> None:
    batches = plan_batches(lengths, limits)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= limits.rows
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= limits.tokens


@given(lengths_lists, limits_values)
def test_never_dearer_than_one_by_one(lengths: list[int], limits: Limits) -> None:
    planned = cost(plan_batches(lengths, limits), lengths, limits)
    assert planned <= cost([[row] for row in range(len(lengths))], lengths, limits)


@given(lengths_lists, st.integers(1, 20), st.integers(0, 100))
def test_never_dearer_than_batches_in_order_of_arrival(lengths: list[int], rows: int, overhead: int) -> None:
    limits = Limits(tokens=UNLIMITED, rows=rows, lookahead=1, overhead=overhead)
    arrival = [list(range(at, min(at + rows, len(lengths)))) for at in range(0, len(lengths), rows)]
    assert cost(plan_batches(lengths, limits), lengths, limits) <= cost(arrival, lengths, limits)


def test_the_batch_of_the_earliest_row_comes_first() -> None:
    limits = Limits(tokens=100, rows=8, lookahead=8, overhead=10)
    assert plan_batches([90, 3, 91, 4], limits) == [[0], [1, 3], [2]]


def test_padding_is_accepted_only_where_it_is_cheaper_than_another_pass() -> None:
    limits = Limits(tokens=1_000, rows=8, lookahead=8, overhead=10)
    assert plan_batches([20, 12], limits) == [[0, 1]]
    assert plan_batches([20, 8], limits) == [[0], [1]]


@pytest.mark.parametrize("field", ["tokens", "rows", "lookahead"])
def test_limits_below_one_are_refused(field: str) -> None:
    values = {"tokens": 1, "rows": 1, "lookahead": 1, field: 0}
    with pytest.raises(ValueError, match=f"{field} must be at least 1, not 0"):
        Limits(**values, overhead=0)
