"""Every decoder family on two processes: a step is that of one process, or the layout is refused with reasons."""

from collections.abc import Iterator

import pytest

from hf_modeling.families import find_family
from hf_parallel import LayoutMismatchError, ParallelOptions, ParallelSpec
from hf_parallel.plan import Plan, make_plan
from hf_parallel.testing.compare import Case, assert_equal, class_of, config_of, run_case
from hf_parallel.testing.pool import Pool
from hf_parallel.validate import check_plan
from integration_tests.families.tiny_configs import ROWS, Row

REFUSED_WITH_SEQUENCE = {"gemma4_text"}
"""Every layer reads its own embedding of each token, so the stream cannot be cut between layers."""


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.close()


def case_of(row: Row) -> Case:
    name = find_family(row.model_type).classes["causal-lm"]
    return Case(
        model=row.model_type,
        config=dict(row.arguments),
        class_name=name,
        tokens=12,
        steps=1,
        max_norm=1.0,
    )


CAUSAL = [row for row in ROWS if "causal-lm" in find_family(row.model_type).classes]


@pytest.mark.slow
@pytest.mark.parametrize("row", CAUSAL, ids=lambda row: row.name)
def test_tensor_and_sequence_parallel(pool: Pool, row: Row) -> None:
    case = case_of(row)
    (alone,) = pool.run(run_case, 1, case, ParallelSpec(), ParallelOptions())
    assert_equal(pool.run(run_case, 2, case, ParallelSpec(tp=2), ParallelOptions()), alone, case)
    if row.name not in REFUSED_WITH_SEQUENCE:
        options = ParallelOptions(sequence_parallel=True, loss_parallel=True)
        assert_equal(pool.run(run_case, 2, case, ParallelSpec(tp=2), options), alone, case)


def plan_of(case: Case, layout: ParallelSpec, options: ParallelOptions) -> Plan | LayoutMismatchError:
    """The plan, or why there is none."""
    try:
        plan = make_plan(class_of(case), config_of(case), layout)
        check_plan(class_of(case), plan, options)
    except LayoutMismatchError as error:
        return error
    return plan


@pytest.mark.slow
@pytest.mark.parametrize("row", CAUSAL, ids=lambda row: row.name)
def test_sequences_are_cut_or_refused(pool: Pool, row: Row) -> None:
    case, layout, options = case_of(row), ParallelSpec(cp=2), ParallelOptions(context="gather")
    planned = plan_of(case, layout, options)
    if isinstance(planned, LayoutMismatchError):
        assert all(problem.where.startswith("layers.") for problem in planned.problems)
        assert "dp_shard=2 takes as many ranks" in planned.fix
        return
    (alone,) = pool.run(run_case, 1, case, ParallelSpec(), ParallelOptions())
    assert_equal(pool.run(run_case, 2, case, layout, options), alone, case)


@pytest.mark.parametrize("ways", [2, 4, 8])
@pytest.mark.parametrize("row", CAUSAL, ids=lambda row: row.name)
def test_every_family_has_a_plan_or_a_nearest_one(row: Row, ways: int) -> None:
    planned = plan_of(case_of(row), ParallelSpec(tp=ways), ParallelOptions())
    if isinstance(planned, LayoutMismatchError):
        assert ways > 2, "all of them fall in two"
        assert "the nearest layouts that fit" in planned.fix
        return
    assert planned.placements
    assert all(name in planned.shapes for name in planned.placements)
