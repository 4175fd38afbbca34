"""Joining a group: what launchers say, what is missing, and where ranks stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from hf_parallel import (
    LaunchError,
    LayoutError,
    ParallelDims,
    ParallelSpec,
    RanksDisagreeError,
    process_group,
)
from hf_parallel.agreement import agree
from hf_parallel.mesh import View, read_launch
from hf_parallel.testing.pool import Pool

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "12"}
SLURM = {"SLURM_PROCID": "5", "SLURM_NTASKS": "6", "SLURM_LOCALID": "1"}


def test_torchrun() -> None:
    launch = read_launch(TORCHRUN)
    assert launch is not None
    assert (launch.method, launch.rank, launch.world, launch.local_rank) == ("torchrun", 3, 8, 1)
    assert (launch.address, launch.port) == ("here", "12")


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node7", "node7"),
        ("a1,a2", "a1"),
        ("node[003-007,9],other", "node003"),
        ("gpu[12,14]", "gpu12"),
        ("solo,node[1-2]", "solo"),
    ],
)
def test_slurm(hosts: str, first: str) -> None:
    launch = read_launch({**SLURM, "SLURM_NODELIST": hosts})
    assert launch is not None
    assert (launch.method, launch.rank, launch.world, launch.address) == ("slurm", 5, 6, first)


def test_nobody_launched_this() -> None:
    assert read_launch({"HOME": "/"}) is None


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"RANK": "0", "LOCAL_RANK": "0"}, "LOCAL_RANK, RANK is set and WORLD_SIZE is not"),
        ({**TORCHRUN, "RANK": "x"}, "the launcher gave rank=x"),
        ({**TORCHRUN, "RANK": "8"}, "rank 8 of 8 processes"),
    ],
)
def test_launchers_that_say_half(environ: dict[str, str], why: str) -> None:
    with pytest.raises(LaunchError, match=why):
        read_launch(environ)


def test_without_a_group_the_way_to_launch_is_told() -> None:
    with pytest.raises(LaunchError, match="takes 4 processes, and 0 run"):
        ParallelDims(ParallelSpec(tp=4))


@pytest.mark.skipif(torch.cuda.is_available(), reason="NCCL is there")
def test_nccl_without_cuda() -> None:
    with pytest.raises(LaunchError, match="NCCL needs CUDA"), process_group("nccl"):
        pass


def test_a_process_alone_is_a_group() -> None:
    with process_group("gloo") as launch:
        assert launch.world == 1
        assert ParallelDims(ParallelSpec()).batch_ways == 1
    assert not dist.is_initialized()


def places() -> dict[str, tuple[int, ...]]:
    dims = ParallelDims(ParallelSpec(pp=2, dp_shard=2, tp=2, ep=4))
    views: tuple[View, ...] = ("pp", "dp_replicate", "dp_shard", "cp", "tp", "fsdp", "data", "ep", "efsdp")
    return {view: tuple(dist.get_process_group_ranks(dims.group(view))) for view in views}


def test_neighbours_in_tp_are_neighbours_in_rank(pool: Pool) -> None:
    seen = pool.run(places, 8)
    assert seen[0]["tp"] == (0, 1)
    assert seen[0]["dp_shard"] == seen[0]["fsdp"] == seen[0]["data"] == (0, 2)
    assert seen[0]["pp"] == (0, 4)
    assert seen[5]["ep"] == (4, 5, 6, 7)
    assert seen[5]["efsdp"] == (5,)


def disagree() -> None:
    agree("answer", "42" if dist.get_rank() != 2 else "41")


def told() -> str:
    try:
        disagree()
    except RanksDisagreeError as error:
        return str(error)
    return ""


def test_every_rank_is_told_who_disagrees(pool: Pool) -> None:
    messages = pool.run(told, 4)
    assert len(set(messages)) == 1
    assert messages[0].startswith("ranks 2 of 4 have another answer than the others")


def test_a_thousand_ranks_are_laid_out_without_any() -> None:
    """One process that plays rank 777 of 1,024."""
    script = (
        "import torch.distributed as dist\n"
        "from torch.testing._internal.distributed.fake_pg import FakeStore\n"
        "dist.init_process_group('fake', store=FakeStore(), rank=777, world_size=1024)\n"
        "from hf_parallel import ParallelDims, ParallelSpec\n"
        "dims = ParallelDims(ParallelSpec(pp=4, dp_replicate=2, dp_shard=16, tp=8))\n"
        "print(dims.rank('tp'), dims.rank('fsdp'), dims.rank('dp_replicate'), dims.rank('pp'), dims.batch_rank)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "0", "3", "1"]


def test_torchrun_end_to_end(tmp_path: Path) -> None:
    """The one test that is launched as users launch."""
    script = tmp_path / "train.py"
    script.write_text(
        "import torch, torch.distributed as dist\n"
        "from hf_parallel import ParallelDims, ParallelSpec, process_group\n"
        "from hf_parallel.testing.cases import LLAMA\n"
        "from hf_parallel.testing.compare import run_case\n"
        "from hf_parallel.options import ParallelOptions\n"
        "with process_group('gloo') as launch:\n"
        "    seen = run_case(LLAMA, ParallelSpec(tp=2), ParallelOptions())\n"
        "    if launch.rank == 0:\n"
        "        print('loss', seen.loss)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(
        [*command, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "loss 5." in done.stdout


@pytest.mark.parametrize("layout", ["dp_shard=0", "tp=x", "zz=2", "tp=2,tp=4", "dp_shard=2,ep=3"])
def test_layouts_that_cannot_be(layout: str) -> None:
    with pytest.raises(LayoutError):
        ParallelSpec.parse(layout)
