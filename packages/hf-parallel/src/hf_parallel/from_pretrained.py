"""`from_pretrained(..., tp_plan="auto")`: what hf-modeling finds here by entry point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, final

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from hf_hub_io.shards import ShardPlan
from hf_modeling.arguments import LoadArguments
from hf_modeling.model import PreTrainedModel
from hf_parallel.errors import LayoutError
from hf_parallel.load import load_parallel
from hf_parallel.mesh import ParallelDims, ensure_process_group
from hf_parallel.parallel import Parallel
from hf_parallel.save import save_parallel
from hf_parallel.spec import ParallelSpec

M = TypeVar("M", bound=PreTrainedModel)


def load(cls: type[M], path: str | Path, arguments: LoadArguments) -> M:
    """This process's share of the model at `path`, spread over `tp_size` processes, or those of `device_mesh`.

    What processes there are beyond that hold copies of it. The share gives the whole model's logits, generates
    what the whole model generates, and `save_pretrained`, called by every process, saves the whole model.

    Raises:
        LayoutError: a mesh, a size or a plan that cannot be. And what `load_parallel` raises.
    """
    if arguments.get("tp_plan") not in (None, "auto"):
        raise LayoutError(
            f"tp_plan={arguments.get('tp_plan')!r}: plans follow from the model",
            fix='pass tp_plan="auto", and take parts out with ParallelOptions.replicate',
        )
    ensure_process_group()
    device_mesh = arguments.get("device_mesh")
    world = dist.get_world_size()
    ways = arguments.get("tp_size") or world
    if device_mesh is not None:
        ways = _tensor_dimension(device_mesh).size()
    if world % ways:
        raise LayoutError(
            f"tp_size={ways} does not divide the {world} processes there are",
            fix=f"choose one of {', '.join(str(n) for n in range(1, world + 1) if world % n == 0)}",
        )
    device_type = device_mesh.device_type if device_mesh is not None else _device_type()
    dims = ParallelDims(ParallelSpec(tp=ways, dp_replicate=world // ways), device_type)
    if device_mesh is not None:
        _check_order(dims, _tensor_dimension(device_mesh))
    rest = LoadArguments(**arguments)
    for name in ("tp_plan", "tp_size", "device_mesh"):
        rest.pop(name, None)  # type: ignore[misc]  # all three may be absent
    parallel = load_parallel(cls, path, dims, shard=False, **rest)
    parallel.model.share = _Share(parallel)
    return parallel.model


@final
@dataclass(frozen=True, slots=True)
class _Share:
    parallel: Parallel[PreTrainedModel]

    def save(self, directory: str | Path, *, max_shard_size: str | int) -> ShardPlan:
        return save_parallel(self.parallel, directory, max_shard_size=max_shard_size)


def _tensor_dimension(mesh: DeviceMesh) -> DeviceMesh:
    """The dimension to spread over: "tp", or the only one there is."""
    names = mesh.mesh_dim_names or ()
    if "tp" in names:
        return mesh["tp"]
    if mesh.ndim == 1:
        return mesh
    raise LayoutError(
        f"device_mesh has {mesh.ndim} dimensions, {', '.join(names) or 'unnamed'}, and none is called 'tp'",
        fix="name its dimensions, or give the one to spread over: device_mesh[name]",
    )


def _check_order(dims: ParallelDims, mesh: DeviceMesh) -> None:
    given = dist.get_process_group_ranks(mesh.get_group())
    ours = dist.get_process_group_ranks(dims.group("tp"))
    if given != ours:
        raise LayoutError(
            f"device_mesh spreads over ranks {given}, which are not neighbours",
            fix=f"make tp its last dimension, so that this rank is among {ours}",
        )


def _device_type() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
