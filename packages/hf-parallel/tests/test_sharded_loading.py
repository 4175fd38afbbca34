"""Checkpoints onto a layout and back: own bytes only, the same numbers, one standard checkpoint from any mesh."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hf_modeling.init import without_weights
from hf_parallel import LayoutError, ParallelDims, ParallelSpec
from hf_parallel.load import load_parallel
from hf_parallel.options import ParallelOptions
from hf_parallel.regions import numel
from hf_parallel.save import own_tensors, save_parallel
from hf_parallel.testing.cases import FAMILIES, LLAMA, MIXTURE
from hf_parallel.testing.compare import Case, Seen, assert_equal, class_of, config_of, run_case, take_steps
from hf_parallel.testing.pool import JobError, Pool

ITEM = 4  # bytes of float32


def saved(case: Case, folder: str) -> None:
    torch.manual_seed(0)
    class_of(case)(config_of(case)).save_pretrained(folder)


def load_and_step(case: Case, folder: str, layout: str, options: ParallelOptions) -> tuple[Seen, int]:
    dims = ParallelDims(ParallelSpec.parse(layout))
    parallel = load_parallel(class_of(case), folder, dims, options=options)
    share = sum(numel(held.region) for held in parallel.held.values()) * ITEM
    return take_steps(case, parallel), share


def load_and_save(case: Case, source: str, target: str, layout: str) -> list[str]:
    dims = ParallelDims(ParallelSpec.parse(layout))
    parallel = load_parallel(class_of(case), source, dims)
    save_parallel(parallel, target, max_shard_size=20_000)
    return list(own_tensors(parallel))


def other_files(case: Case, folder: str) -> None:
    dims = ParallelDims(ParallelSpec(dp_shard=2))
    load_parallel(class_of(case), f"{folder}-{dims.rank('dp_shard')}", dims)


@pytest.mark.parametrize("layout", ["tp=2", "tp=4", "dp_shard=4", "tp=2,dp_shard=2", "dp_replicate=2"])
@pytest.mark.parametrize("name", ["llama", "tied", "mixture", "positions", "distances", "states", "latent"])
def test_each_rank_reads_its_share_and_steps_as_one_process(
    pool: Pool, tmp_path: Path, name: str, layout: str
) -> None:
    case = replace(FAMILIES[name], steps=1)
    saved(case, str(tmp_path))
    ((one, _),) = pool.run(load_and_step, 1, case, str(tmp_path), "", ParallelOptions())
    world = ParallelSpec.parse(layout).world_size
    seen = pool.run(load_and_step, world, case, str(tmp_path), layout, ParallelOptions())
    assert_equal([each for each, _ in seen], one, case)
    for each, share in seen:
        assert 0 < each.bytes_read <= 1.05 * share


def test_a_share_is_a_share(pool: Pool, tmp_path: Path) -> None:
    saved(LLAMA, str(tmp_path))
    whole = sum(f.stat().st_size for f in tmp_path.glob("*.safetensors"))
    seen = pool.run(load_and_step, 4, LLAMA, str(tmp_path), "tp=2,dp_shard=2", ParallelOptions())
    assert max(each.bytes_read for each, _ in seen) < 0.3 * whole


@pytest.mark.parametrize("layout", ["tp=4", "tp=2,dp_shard=2", "dp_replicate=2,dp_shard=2,tp=2"])
@pytest.mark.parametrize("name", ["llama", "tied", "mixture", "positions", "distances"])
def test_any_mesh_saves_the_same_checkpoint(pool: Pool, tmp_path: Path, name: str, layout: str) -> None:
    case = FAMILIES[name]
    source, target = tmp_path / "source", tmp_path / "target"
    saved(case, str(source))
    pool.run(load_and_save, ParallelSpec.parse(layout).world_size, case, str(source), str(target), layout)
    assert len(list(target.glob("model-*.safetensors"))) > 1
    first, second = class_of(case).from_pretrained(source), class_of(case).from_pretrained(target)
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    before, after = (json.loads((f / "config.json").read_text()) for f in (source, target))
    assert before == after


def test_ranks_with_other_checkpoints_are_told_at_once(pool: Pool, tmp_path: Path) -> None:
    saved(LLAMA, f"{tmp_path}/c-0")
    saved(replace(LLAMA, config={**LLAMA.config, "intermediate_size": 40}), f"{tmp_path}/c-1")
    with pytest.raises(JobError, match="have another config, layout or checkpoint"):
        pool.run(other_files, 2, LLAMA, f"{tmp_path}/c")


def test_a_layout_for_another_number_of_processes(pool: Pool) -> None:
    with pytest.raises(
        JobError, match="takes 8 processes, and 2 run\n  fix: start as many: torchrun --nproc-per-node 8"
    ):
        pool.run(run_case, 2, LLAMA, ParallelSpec(tp=8), ParallelOptions())


def test_shapes_of_shares_follow_from_the_plan() -> None:
    from hf_parallel.plan import make_plan, outline

    plan = make_plan(class_of(MIXTURE), config_of(MIXTURE), ParallelSpec(tp=2))
    share = outline(class_of(MIXTURE), config_of(MIXTURE), plan.spec)
    with without_weights():
        whole = class_of(MIXTURE)(config_of(MIXTURE))
    from hf_parallel.placements import local_shape

    for name, tensor in whole.named_parameters():
        wanted = local_shape(plan.placement(name), tuple(tensor.shape), plan.ways(name))
        assert tuple(share.get_parameter(name).shape) == wanted


def test_a_layout_that_does_not_fit_lists_what_and_what_would() -> None:
    from hf_parallel.plan import make_plan

    with pytest.raises(LayoutError) as caught:
        make_plan(class_of(LLAMA), config_of(LLAMA), ParallelSpec(tp=3))
    text = str(caught.value)
    assert "model.layers.0.self_attn: 4 query heads over 2 key heads do not fall evenly on tp=3" in text
    assert "the nearest layouts that fit: tp=2; tp=4" in text
