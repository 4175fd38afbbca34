"""Processes and how they stand: joining the group, and the named axes of a layout as device meshes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, final

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore  # torch.distributed has it without exporting it to types
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from hf_parallel.errors import LaunchError
from hf_parallel.spec import ParallelSpec

Backend = Literal["gloo", "nccl", "fake"]
View = Literal["pp", "dp_replicate", "dp_shard", "fsdp", "cp", "tp", "ep", "efsdp", "data"]
"""Groups of ranks: the axes, `fsdp` = dp_shard x cp, `data` = dp_replicate x fsdp, `efsdp` = what experts leave."""

HOW_TO_LAUNCH = "torchrun --nproc-per-node {world} train.py"
DEFAULT_PORT = "29500"
DEFAULT_TIMEOUT_S = 1800.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """Who this process is among those that were started together, and where they meet."""

    method: Literal["torchrun", "slurm", "alone"]
    rank: int = 0
    world: int = 1
    local_rank: int = 0
    address: str = "localhost"
    port: str = DEFAULT_PORT


def read_launch(environ: Mapping[str, str]) -> Launch | None:
    """What torchrun (`RANK`, ...) or SLURM (`SLURM_PROCID`, ...) say about this process; None if neither does.

    Raises:
        LaunchError: a launcher set some of its variables and left out others, or numbers that cannot be.
    """
    for method, names in _LAUNCHERS.items():
        if not names.keys() & environ.keys():
            continue
        if missing := [name for name in names if name not in environ]:
            raise LaunchError(
                f"{', '.join(sorted(names.keys() & environ.keys()))} is set and {', '.join(missing)} is not",
                fix=f"start all processes by one launcher: {HOW_TO_LAUNCH.format(world='N')}, or srun",
            )
        values = {field: environ[name] for name, field in names.items()}
        if bad := [f"{field}={value}" for field, value in values.items() if not value.isdecimal()]:
            raise LaunchError(f"the launcher gave {', '.join(bad)}", fix="give whole numbers")
        rank, world, local = (int(values[field]) for field in ("rank", "world", "local"))
        if rank >= world:
            raise LaunchError(f"rank {rank} of {world} processes", fix="give ranks 0 to world size - 1")
        address = environ.get("MASTER_ADDR") or _first_host(environ)
        port = environ.get("MASTER_PORT", DEFAULT_PORT)
        return Launch(method=method, rank=rank, world=world, local_rank=local, address=address, port=port)
    return None


_LAUNCHERS: Mapping[Literal["torchrun", "slurm"], Mapping[str, str]] = {
    "torchrun": {"RANK": "rank", "WORLD_SIZE": "world", "LOCAL_RANK": "local"},
    "slurm": {"SLURM_PROCID": "rank", "SLURM_NTASKS": "world", "SLURM_LOCALID": "local"},
}


def _first_host(environ: Mapping[str, str]) -> str:
    """The first name of SLURM's list of hosts (`node[003-007,9],other`); this machine without one."""
    hosts = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_NODELIST") or "localhost"
    stem, bracket, rest = hosts.partition("[")
    if "," in stem or not bracket:
        return stem.split(",")[0]
    return stem + rest.replace("-", ",").replace("]", ",").split(",")[0]


@contextmanager
def process_group(
    backend: Backend | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> Iterator[Launch]:
    """This process as a member of the group its launcher started; left in order at the end of the block.

    backend: "nccl" where there is CUDA and "gloo" elsewhere, unless given.
    A process that nothing launched is a group of its own.

    Raises:
        LaunchError: incomplete launch variables; NCCL asked for and absent.
    """
    launch = _join(backend, timeout_s)
    try:
        yield launch
        # Without a barrier a rank may take its connections down while another still reads from them.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def ensure_process_group() -> None:
    """Join the group that a launcher started, if this process has not, and leave it when the process ends.

    Raises:
        LaunchError: as `process_group`.
    """
    if not dist.is_initialized():
        _join(None, DEFAULT_TIMEOUT_S)
        atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _join(backend: Backend | None, timeout_s: float) -> Launch:
    launch = read_launch(os.environ) or Launch(method="alone")
    chosen = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    if chosen == "nccl" and not (dist.is_nccl_available() and torch.cuda.is_available()):
        raise LaunchError("NCCL needs CUDA, which this process lacks", fix="pass backend='gloo'")
    if chosen == "nccl":
        torch.cuda.set_device(launch.local_rank)
    wait, rank, world = timedelta(seconds=timeout_s), launch.rank, launch.world
    if launch.method == "alone":
        dist.init_process_group(chosen, store=HashStore(), timeout=wait, rank=0, world_size=1)
    elif launch.method == "torchrun":  # which serves the address itself
        dist.init_process_group(chosen, init_method="env://", timeout=wait)
    else:
        meet = f"tcp://{launch.address}:{launch.port}"
        dist.init_process_group(chosen, init_method=meet, timeout=wait, rank=rank, world_size=world)
    return launch


@final
class ParallelDims:
    """A layout on the ranks of this group, with its axes by name.

    The last axis varies fastest: neighbours in `tp` are neighbours in rank, so they share a machine.
    """

    def __init__(self, spec: ParallelSpec, device_type: str = "cpu") -> None:
        world = dist.get_world_size() if dist.is_initialized() else 0
        if spec.world_size != world:
            raise LaunchError(
                f"the layout {spec or 'of one process'} takes {spec.world_size} processes, and {world} run",
                fix=f"start as many: {HOW_TO_LAUNCH.format(world=spec.world_size)}"
                if world
                else "call inside `with process_group():`",
            )
        self.spec = spec
        self.device_type = device_type
        inner = spec.dp_shard * spec.cp * spec.tp
        # Several views of one order of ranks; groups of one size in two views are cheap until they are used.
        dense = (spec.pp, spec.dp_replicate, spec.dp_shard, spec.cp, spec.tp)
        self._axes = init_device_mesh(
            device_type, dense, mesh_dim_names=("pp", "dp_replicate", "dp_shard", "cp", "tp")
        )
        self._dense = init_device_mesh(
            device_type,
            (spec.pp, spec.dp_replicate, spec.dp_shard * spec.cp, spec.tp),
            mesh_dim_names=("pp", "dp_replicate", "fsdp", "tp"),
        )
        self._sparse = init_device_mesh(
            device_type,
            (spec.pp, spec.dp_replicate, inner // spec.ep, spec.ep),
            mesh_dim_names=("pp", "dp_replicate", "efsdp", "ep"),
        )
        self._data = init_device_mesh(
            device_type,
            (spec.pp, spec.dp_replicate * spec.dp_shard * spec.cp, spec.tp),
            mesh_dim_names=("pp", "data", "tp"),
        )

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        return torch.device("cuda", torch.cuda.current_device()) if self.device_type == "cuda" else CPU

    def mesh(self, view: View) -> DeviceMesh:
        """The ranks that differ from this one in `view` only, as a mesh of one dimension."""
        for mesh in (self._axes, self._dense, self._sparse, self._data):
            if view in (mesh.mesh_dim_names or ()):
                return mesh[view]
        raise KeyError(view)

    def group(self, view: View) -> dist.ProcessGroup:
        """The process group of `view`."""
        return self.mesh(view).get_group()

    def size(self, view: View) -> int:
        """How many ranks `view` has."""
        return self.mesh(view).size()

    def rank(self, view: View) -> int:
        """This rank's place in `view`."""
        return self.mesh(view).get_local_rank()

    @property
    def shard_mesh(self) -> DeviceMesh:
        """Where dense parameters are sharded: (dp_replicate, fsdp), or fsdp alone without copies."""
        return self._dense["dp_replicate", "fsdp"] if self.spec.dp_replicate > 1 else self._dense["fsdp"]

    @property
    def expert_mesh(self) -> DeviceMesh:
        """Where experts are sharded beyond `ep`: (dp_replicate, efsdp), or efsdp alone without copies."""
        return self._sparse["dp_replicate", "efsdp"] if self.spec.dp_replicate > 1 else self._sparse["efsdp"]

    @property
    def batch_rank(self) -> int:
        """Which part of a global batch this rank reads; ranks of one `cp` or `tp` group read the same rows."""
        return self.rank("dp_replicate") * self.spec.dp_shard + self.rank("dp_shard")

    @property
    def batch_ways(self) -> int:
        """Into how many parts a global batch falls."""
        return self.spec.dp_replicate * self.spec.dp_shard

    @property
    def is_first_stage(self) -> bool:
        """Whether this rank reads token ids; with looped schedules other ranks may hold early stages too."""
        return self.rank("pp") == 0


def seed_ranks(dims: ParallelDims, seed: int) -> None:
    """Seed torch so that dropout is right: alike on ranks of `tp`, whose streams are one, different on all others."""
    spec = dims.spec
    place = ((dims.rank("pp") * spec.dp_replicate + dims.rank("dp_replicate")) * spec.dp_shard) + dims.rank(
        "dp_shard"
    )
    torch.manual_seed(seed * 1_000_003 + place * spec.cp + dims.rank("cp"))


CPU = torch.device("cpu")
