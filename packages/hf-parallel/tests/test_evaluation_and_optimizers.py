"""Losses without gradients, and optimizers that take many parameters at once, on every kind of layout."""

from dataclasses import replace

import pytest
import torch

from hf_parallel import ParallelDims, ParallelSpec, evaluate_step, parallelize, train_step
from hf_parallel.options import ParallelOptions
from hf_parallel.testing.cases import DEEP, MIXTURE
from hf_parallel.testing.compare import Case, class_of, config_of, micro_batches
from hf_parallel.testing.pool import Pool

WIDE = replace(DEEP, rows=8, accumulate=2)


def evaluated(case: Case, layout: str, options: ParallelOptions) -> tuple[float, float, bool]:
    """Loss evaluated before a step, that of the step itself, and whether evaluation left gradients behind."""
    dims = ParallelDims(ParallelSpec.parse(layout))
    parallel = parallelize(class_of(case), config_of(case), dims, options=options)
    parallel.train(False)
    batches = micro_batches(case, dims.batch_rank, dims.batch_ways)
    before = float(evaluate_step(parallel, batches).loss)
    left = any(p.grad is not None for p in parallel.parameters())
    return before, float(train_step(parallel, batches).loss), left


@pytest.mark.parametrize(
    "layout", ["tp=2", "dp_shard=2", "cp=2", "pp=2", "pp=2,dp_shard=2", "dp_shard=2,tp=2"]
)
def test_evaluation_gives_the_loss_of_the_step(pool: Pool, layout: str) -> None:
    ((alone, _, _),) = pool.run(evaluated, 1, WIDE, "", ParallelOptions())
    world = ParallelSpec.parse(layout).world_size
    for before, loss, left in pool.run(evaluated, world, WIDE, layout, ParallelOptions()):
        assert before == pytest.approx(alone, abs=1e-5)
        assert loss == pytest.approx(alone, abs=1e-5)
        assert not left


def fused(layout: str, at_once: str) -> list[float]:
    """Losses of four steps of AdamW over groups by mesh."""
    dims = ParallelDims(ParallelSpec.parse(layout))
    parallel = parallelize(class_of(MIXTURE), config_of(MIXTURE), dims)
    parallel.train(False)
    groups = [{"params": group} for group in parallel.parameter_groups()]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, fused=at_once == "fused", foreach=at_once == "foreach")
    losses = []
    for step in range(4):
        result = train_step(parallel, micro_batches(MIXTURE, dims.batch_rank, dims.batch_ways, step))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(result.loss))
    return losses


@pytest.mark.parametrize("at_once", ["fused", "foreach"])
def test_optimizers_that_take_a_mesh_at_a_time(pool: Pool, at_once: str) -> None:
    (alone,) = pool.run(fused, 1, "", at_once)
    for losses in pool.run(fused, 4, "dp_shard=4,ep=2", at_once):
        assert losses == pytest.approx(alone, abs=2e-4)
