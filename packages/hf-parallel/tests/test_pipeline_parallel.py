"""Pipelines of every schedule give what one process gives; what would hang is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from hf_parallel import LayoutError, ParallelDims, ParallelSpec
from hf_parallel.options import ParallelOptions, Schedule
from hf_parallel.parallel import parallelize
from hf_parallel.pipeline import stages_of_rank
from hf_parallel.plan import make_plan
from hf_parallel.step import Batch, train_step
from hf_parallel.testing.cases import DEEP, LLAMA, MIXTURE, POSITIONS, WINDOWED
from hf_parallel.testing.compare import Case, Seen, class_of, config_of
from hf_parallel.testing.pool import JobError, Pool
from hf_parallel.validate import check_plan

Check = Callable[..., list[Seen]]

DEEP8 = replace(DEEP, rows=8)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize("layout", ["pp=2", "pp=4"])
def test_one_stage_on_each_rank(same_as_alone: Check, schedule: Schedule, layout: str) -> None:
    same_as_alone(DEEP, layout, ParallelOptions(schedule=schedule))


@pytest.mark.parametrize("schedule", ["interleaved", "looped_bfs", "interleaved_zb", "zbv", "dualpipe_v"])
def test_several_stages_on_each_rank(same_as_alone: Check, schedule: Schedule) -> None:
    same_as_alone(DEEP, "pp=2", ParallelOptions(schedule=schedule, stages_per_rank=2, microbatches=4))


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("pp=2,dp_shard=2", ParallelOptions()),
        ("pp=2,dp_replicate=2", ParallelOptions()),
        ("pp=2,tp=2", ParallelOptions(sequence_parallel=True, loss_parallel=True)),
        ("pp=2,cp=2", ParallelOptions()),
        ("pp=2,dp_shard=2,tp=2", ParallelOptions(sequence_parallel=True)),
        ("pp=2,dp_shard=2,cp=2", ParallelOptions(context="ulysses")),
        ("pp=2,dp_shard=2", ParallelOptions(schedule="interleaved", stages_per_rank=2)),
        ("pp=2,dp_shard=2", ParallelOptions(schedule="zbv", stages_per_rank=2, microbatches=4)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.schedule,
)
def test_products_with_other_axes(same_as_alone: Check, layout: str, options: ParallelOptions) -> None:
    same_as_alone(DEEP8, layout, options)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(replace(DEEP, packed=True), id="packed"),
        pytest.param(replace(DEEP, padded=True), id="padded"),
        pytest.param(replace(DEEP, accumulate=2), id="accumulated"),
        pytest.param(WINDOWED, id="windows"),
        pytest.param(MIXTURE, id="mixture"),
        pytest.param(POSITIONS, id="positions"),
    ],
)
def test_every_kind_of_batch_and_stage(same_as_alone: Check, case: Case) -> None:
    same_as_alone(case, "pp=2", None)


def uneven_rows() -> None:
    parallel = parallelize(
        class_of(DEEP),
        config_of(DEEP),
        ParallelDims(ParallelSpec(pp=2)),
        options=ParallelOptions(microbatches=2),
    )
    train_step(parallel, [Batch.causal(torch.ones(3, 8, dtype=torch.long))])


def test_rows_that_would_leave_a_stage_waiting_are_refused(pool: Pool) -> None:
    with pytest.raises(JobError, match="3 rows do not fall into 2 micro-batches"):
        pool.run(uneven_rows, 2)


@pytest.mark.parametrize(
    ("options", "layout", "why"),
    [
        (
            ParallelOptions(schedule="interleaved"),
            ParallelSpec(pp=2),
            "interleaved puts 2 or more stages on a rank",
        ),
        (ParallelOptions(schedule="zbv"), ParallelSpec(pp=2), "zbv puts 2 stages on a rank"),
        (ParallelOptions(), ParallelSpec(pp=4), "2 layers cannot fill 4 stages"),
        (
            ParallelOptions(schedule="zbv", stages_per_rank=2, offload=True),
            ParallelSpec(pp=2),
            "zbv keeps whole weights, and offload needs shards",
        ),
    ],
)
def test_schedules_that_do_not_fit(options: ParallelOptions, layout: ParallelSpec, why: str) -> None:
    case = DEEP if options.offload else LLAMA
    plan = make_plan(class_of(case), config_of(case), layout)
    with pytest.raises(LayoutError, match=why):
        check_plan(class_of(case), plan, options)


def test_layers_are_spread_evenly_and_the_ends_get_fewer() -> None:
    options = ParallelOptions(schedule="zbv", stages_per_rank=2)
    first, second = stages_of_rank(10, 2, 0, options), stages_of_rank(10, 2, 1, options)
    assert [(s.index, s.first, s.last) for s in first] == [(0, 0, 2), (3, 8, 10)]
    assert [(s.index, s.first, s.last) for s in second] == [(1, 2, 5), (2, 5, 8)]
