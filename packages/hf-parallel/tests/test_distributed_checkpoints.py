"""Training checkpoints: going on from them on another layout, damage, other models, and export to a standard one."""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hf_modeling.model import PreTrainedModel
from hf_parallel import ParallelDims, ParallelSpec, parallelize, train_step
from hf_parallel.checkpoint import BackgroundSaver, export_checkpoint, load_checkpoint, save_checkpoint
from hf_parallel.checkpoint.read import read_contents
from hf_parallel.errors import CheckpointDamagedError
from hf_parallel.parallel import Parallel
from hf_parallel.testing.cases import DEEP, FAMILIES, LLAMA, MIXTURE
from hf_parallel.testing.compare import Case, class_of, config_of, micro_batches
from hf_parallel.testing.pool import JobError, Pool

BEFORE, AFTER = 2, 2


def begin(case: Case, layout: str) -> tuple[Parallel[PreTrainedModel], torch.optim.Optimizer]:
    dims = ParallelDims(ParallelSpec.parse(layout))
    parallel = parallelize(class_of(case), config_of(case), dims)
    return parallel, torch.optim.AdamW(parallel.parameters(), lr=1e-3, eps=1e-6, foreach=False)


def steps(
    case: Case, parallel: Parallel[PreTrainedModel], optimizer: torch.optim.Optimizer, first: int, last: int
) -> list[float]:
    losses = []
    for step in range(first, last):
        dims = parallel.dims
        result = train_step(
            parallel, micro_batches(case, dims.batch_rank, dims.batch_ways, step), max_norm=1.0
        )
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(result.loss))
    return losses


def train_and_save(case: Case, layout: str, folder: str, background: bool = False) -> list[float]:
    parallel, optimizer = begin(case, layout)
    steps(case, parallel, optimizer, 0, BEFORE)
    optimizer.param_groups[0]["lr"] = 2e-3
    if not background:
        save_checkpoint(parallel, folder, optimizer, state={"step": BEFORE})
        return steps(case, parallel, optimizer, BEFORE, BEFORE + AFTER)
    with BackgroundSaver(parallel, optimizer) as saver:
        saver.save(folder, state={"step": BEFORE})
        return steps(case, parallel, optimizer, BEFORE, BEFORE + AFTER)


def resume(case: Case, layout: str, folder: str) -> list[float]:
    parallel, optimizer = begin(case, layout)
    state = load_checkpoint(parallel, folder, optimizer)
    assert state == {"step": BEFORE}
    assert optimizer.param_groups[0]["lr"] == 2e-3
    return steps(case, parallel, optimizer, BEFORE, BEFORE + AFTER)


def weights_alone(case: Case, layout: str, folder: str) -> None:
    parallel, _ = begin(case, layout)
    save_checkpoint(parallel, folder)


def resumed_alike(
    pool: Pool, case: Case, before: str, after: str, folder: Path, *, background: bool = False
) -> None:
    world = ParallelSpec.parse(before).world_size
    wanted = pool.run(train_and_save, world, case, before, str(folder), background)[0]
    found = pool.run(resume, ParallelSpec.parse(after).world_size, case, after, str(folder))[0]
    assert found == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "tp=2"),
        ("tp=4", "dp_shard=2"),
        ("tp=2,dp_shard=2", "tp=2"),
        ("dp_shard=4", ""),
        ("dp_replicate=2,tp=2", "cp=2,dp_shard=2"),
        ("dp_shard=2", "dp_replicate=2,dp_shard=2,tp=2"),
    ],
)
def test_training_goes_on_alike_on_another_layout(
    pool: Pool, tmp_path: Path, before: str, after: str
) -> None:
    resumed_alike(pool, LLAMA, before, after, tmp_path / "saved")


def test_stages_and_a_table_they_share(pool: Pool, tmp_path: Path) -> None:
    resumed_alike(pool, DEEP, "pp=2", "tp=2", tmp_path / "one")
    resumed_alike(pool, DEEP, "dp_shard=2", "pp=2", tmp_path / "two")


def test_experts(pool: Pool, tmp_path: Path) -> None:
    resumed_alike(pool, MIXTURE, "dp_shard=2,ep=2", "tp=2", tmp_path / "saved")


def test_what_is_written_in_the_background_is_what_was_there(pool: Pool, tmp_path: Path) -> None:
    resumed_alike(pool, LLAMA, "tp=2", "dp_shard=2", tmp_path / "saved", background=True)


def damage_first_byte(folder: Path) -> None:
    file = min(folder.glob("*.distcp"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_short(folder: Path) -> None:
    file = max(folder.glob("*.distcp"))
    os.truncate(file, file.stat().st_size // 2)


def without_manifest(folder: Path) -> None:
    (folder / "parallel_manifest.json").unlink()


def lose_a_file(folder: Path) -> None:
    min(folder.glob("*.distcp")).unlink()


def caught(case: Case, layout: str, folder: str) -> str:
    parallel, optimizer = begin(case, layout)
    before = [p.detach().clone() for p in parallel.parameters()]
    with pytest.raises(CheckpointDamagedError) as error:
        load_checkpoint(parallel, folder, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, parallel.parameters(), strict=True))
    return str(error.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_first_byte, "is not what was written"),
        (cut_short, "bytes, and"),
        (without_manifest, "never completed"),
        (lose_a_file, "lacks __0_0.distcp"),
    ],
)
def test_every_rank_sees_the_damage_alike(
    pool: Pool, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    pool.run(weights_alone, 2, LLAMA, "tp=2", str(tmp_path / "saved"))
    damage(tmp_path / "saved")
    one, other = pool.run(caught, 2, LLAMA, "dp_shard=2", str(tmp_path / "saved"))
    assert one == other
    assert message in one


def test_a_checkpoint_of_another_model_names_what_differs(pool: Pool, tmp_path: Path) -> None:
    pool.run(weights_alone, 1, LLAMA, "", str(tmp_path))
    other = replace(LLAMA, config={**LLAMA.config, "intermediate_size": 40})
    with pytest.raises(JobError, match=r"gate_proj.weight is \(46, 32\) there and \(40, 32\) here"):
        pool.run(resume, 1, other, "", str(tmp_path))
    with pytest.raises(JobError, match="has no optimizer state\n  fix: load it without an optimizer"):
        pool.run(resume, 1, LLAMA, "", str(tmp_path))


def test_a_save_replaces_the_one_before_it_whole(pool: Pool, tmp_path: Path) -> None:
    pool.run(weights_alone, 4, LLAMA, "tp=4", str(tmp_path / "saved"))
    pool.run(weights_alone, 1, LLAMA, "", str(tmp_path / "saved"))
    assert {path.name for path in tmp_path.iterdir()} == {"saved"}
    assert len(list((tmp_path / "saved").glob("*.distcp"))) == 1
    manifest = json.loads((tmp_path / "saved" / "parallel_manifest.json").read_text())
    assert manifest["files"].keys() == {p.name for p in (tmp_path / "saved").iterdir()} - {
        "parallel_manifest.json"
    }


@pytest.mark.parametrize("name", ["llama", "tied", "mixture"])
def test_export_is_what_the_whole_model_saves(pool: Pool, tmp_path: Path, name: str) -> None:
    case = FAMILIES[name]
    pool.run(weights_alone, 2, case, "tp=2", str(tmp_path / "many"))
    pool.run(weights_alone, 1, case, "", str(tmp_path / "one"))
    export_checkpoint(tmp_path / "many", tmp_path / "a", max_shard_size=20_000)
    export_checkpoint(tmp_path / "one", tmp_path / "b")
    assert len(list((tmp_path / "a").glob("model-*.safetensors"))) > 1
    first = class_of(case).from_pretrained(tmp_path / "a").state_dict()
    second = class_of(case).from_pretrained(tmp_path / "b").state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_table_of_contents_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(pickle.dumps(_Trap(str(tmp_path / "sprung"))))
    with pytest.raises(
        CheckpointDamagedError, match=r"it asks for \w+.mkdir, which no table of contents needs"
    ):
        read_contents(tmp_path)
    assert not (tmp_path / "sprung").exists()


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)
