"""Experts spread over ranks give what all of them together give, wherever tokens go."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from hf_modeling.layers.moe import MoeLayer
from hf_parallel import LayoutError, ParallelDims, ParallelSpec
from hf_parallel.load import load_parallel
from hf_parallel.options import ParallelOptions
from hf_parallel.parallel import parallelize
from hf_parallel.plan import make_plan
from hf_parallel.regions import numel
from hf_parallel.save import save_parallel
from hf_parallel.step import Batch, train_step
from hf_parallel.testing.cases import HYBRID, LATENT, LLAMA, MIXTURE, SINKS
from hf_parallel.testing.compare import Case, Seen, assert_equal, class_of, config_of, run_case
from hf_parallel.testing.pool import Pool
from hf_parallel.validate import check_plan

Check = Callable[..., list[Seen]]
SEQUENCE = ParallelOptions(sequence_parallel=True)


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("dp_shard=2,ep=2", None),
        ("dp_shard=4,ep=4", None),
        ("dp_shard=4,ep=2", None),
        ("tp=2,ep=2", None),
        ("tp=2,ep=2", SEQUENCE),
        ("cp=2,ep=2", None),
        ("tp=2,dp_shard=2,ep=4", None),
        ("tp=2,dp_shard=2,ep=2", SEQUENCE),
        ("dp_replicate=2,dp_shard=2,ep=2", None),
        ("pp=2,dp_shard=2,ep=2", None),
        ("dp_shard=2,cp=2,tp=2,ep=4", SEQUENCE),
    ],
    ids=lambda value: value if isinstance(value, str) else "sequence" if value else "",
)
def test_every_layout_steps_as_one_process(
    same_as_alone: Check, layout: str, options: ParallelOptions | None
) -> None:
    same_as_alone(MIXTURE, layout, options)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(LATENT, id="shared experts in groups"),
        pytest.param(HYBRID, id="hybrid"),
        pytest.param(SINKS, id="biases"),
        pytest.param(replace(MIXTURE, accumulate=2), id="accumulated"),
    ],
)
def test_every_kind_of_mixture(same_as_alone: Check, case: Case) -> None:
    same_as_alone(case, "tp=2,dp_shard=2,ep=2", None)


def one_sided() -> list[float]:
    """All tokens alike, so that some rank's experts are asked for nothing."""
    dims = ParallelDims(ParallelSpec(dp_shard=2, ep=2))
    parallel = parallelize(class_of(MIXTURE), config_of(MIXTURE), dims)
    layer = next(m for m in parallel.model.modules() if isinstance(m, MoeLayer))
    layer.gate.choice = lambda logits, _: (
        torch.ones(len(logits), 1),
        logits.new_zeros(len(logits), 1).long(),
    )
    train_step(parallel, [Batch.causal(torch.ones(1, 8, dtype=torch.long))])
    grad = layer.experts.down_proj.grad
    assert grad is not None
    return [dist.get_rank(), float(grad.to_local().abs().sum())]  # type: ignore[attr-defined]  # a DTensor


def test_experts_that_nobody_asks_get_zeros(pool: Pool) -> None:
    (_, busy), (_, idle) = pool.run(one_sided, 2)
    assert busy > 0
    assert idle == 0


def round_trip(source: str, target: str, layout: str) -> tuple[int, int]:
    parallel = load_parallel(class_of(MIXTURE), source, ParallelDims(ParallelSpec.parse(layout)))
    save_parallel(parallel, target)
    return parallel.bytes_read, sum(numel(held.region) for held in parallel.held.values()) * 4


@pytest.mark.parametrize("layout", ["dp_shard=2,ep=2", "tp=2,dp_shard=2,ep=4"])
def test_experts_are_read_and_written_where_they_are(pool: Pool, tmp_path: Path, layout: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    torch.manual_seed(0)
    whole = class_of(MIXTURE)(config_of(MIXTURE))
    whole.save_pretrained(source)
    world = ParallelSpec.parse(layout).world_size
    for read, share in pool.run(round_trip, world, str(source), str(target), layout):
        assert 0 < read <= 1.05 * share
    again = class_of(MIXTURE).from_pretrained(target).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize(
    ("case", "ep", "why"),
    [(MIXTURE, 8, "4 experts do not fall evenly on ep=8"), (LLAMA, 2, "it has no experts to spread")],
)
def test_layouts_that_experts_do_not_fit(case: Case, ep: int, why: str) -> None:
    with pytest.raises(LayoutError, match=why):
        make_plan(class_of(case), config_of(case), ParallelSpec(dp_shard=8, ep=ep))


BALANCED = replace(MIXTURE, config={**MIXTURE.config, "router_aux_loss_coef": 0.5}, padded=True)
BALANCE = ParallelOptions(balance_experts=True)


@pytest.mark.parametrize("layout", ["tp=2", "cp=2", "tp=2,ep=2", "cp=2,ep=2", "tp=2,cp=2,ep=4"])
@pytest.mark.parametrize("sequence", [False, True])
def test_loads_are_balanced_as_in_one_process(pool: Pool, layout: str, sequence: bool) -> None:
    (alone,) = pool.run(run_case, 1, BALANCED, ParallelSpec(), BALANCE)
    (plain,) = pool.run(run_case, 1, BALANCED, ParallelSpec(), ParallelOptions())
    assert alone.loss > plain.loss + 0.1
    spec = ParallelSpec.parse(layout)
    options = replace(BALANCE, sequence_parallel=sequence)
    assert_equal(pool.run(run_case, spec.world_size, BALANCED, spec, options), alone, BALANCED)


def test_loads_of_data_parallel_ranks_are_balanced_by_micro_batch(pool: Pool) -> None:
    (alone,) = pool.run(run_case, 1, replace(BALANCED, accumulate=2), ParallelSpec(), BALANCE)
    seen = pool.run(run_case, 2, BALANCED, ParallelSpec(dp_shard=2, ep=2), BALANCE)
    assert_equal(seen, alone, BALANCED)


def test_nothing_to_balance() -> None:
    plan = make_plan(class_of(LLAMA), config_of(LLAMA), ParallelSpec())
    with pytest.raises(LayoutError, match="it has no experts to balance"):
        check_plan(class_of(LLAMA), plan, BALANCE)
