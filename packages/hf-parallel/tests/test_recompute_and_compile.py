"""Blocks recomputed or compiled give the same gradients, on the layouts where this once went wrong."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hf_parallel import LayoutError, ParallelSpec
from hf_parallel.options import ParallelOptions, Recompute
from hf_parallel.plan import make_plan
from hf_parallel.testing.cases import DEEP, LLAMA, MIXTURE, TIED
from hf_parallel.testing.compare import Seen, class_of, config_of
from hf_parallel.validate import check_plan

Check = Callable[..., list[Seen]]


@pytest.mark.parametrize("recompute", ["full", "selective"])
@pytest.mark.parametrize("layout", ["dp_shard=2", "tp=2,dp_shard=2", "cp=2", "dp_shard=2,cp=2,tp=2"])
def test_recomputed_blocks(same_as_alone: Check, recompute: Recompute, layout: str) -> None:
    options = ParallelOptions(recompute=recompute, sequence_parallel="tp" in layout)
    same_as_alone(LLAMA, layout, options)


@pytest.mark.parametrize("recompute", ["full", "selective"])
def test_recomputed_stages(same_as_alone: Check, recompute: Recompute) -> None:
    same_as_alone(DEEP, "pp=2", ParallelOptions(recompute=recompute))


def test_recomputed_experts(same_as_alone: Check) -> None:
    same_as_alone(MIXTURE, "dp_shard=2,ep=2", ParallelOptions(recompute="full"))


def test_experts_are_not_recomputed_in_part() -> None:
    plan = make_plan(class_of(MIXTURE), config_of(MIXTURE), ParallelSpec(dp_shard=2, ep=2))
    with pytest.raises(LayoutError, match="recompute='selective' with ep"):
        check_plan(class_of(MIXTURE), plan, ParallelOptions(recompute="selective"))


def test_compiled_blocks(same_as_alone: Check) -> None:
    """With sequence parallelism and FSDP, compiled blocks once gave the embedding wrong gradients, silently."""
    case = replace(TIED, steps=1, config={**TIED.config, "num_hidden_layers": 1})
    options = ParallelOptions(compile=True, compiler="aot_eager", sequence_parallel=True)
    same_as_alone(case, "tp=2,dp_shard=2", options)
