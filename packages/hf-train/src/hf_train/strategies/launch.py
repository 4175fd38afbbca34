"""Which process of a run this is, as torchrun, accelerate or another launcher told it through the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed as dist

from hf_hub_io.errors import HfError

if TYPE_CHECKING:
    from datetime import timedelta


class LaunchError(HfError, ValueError):
    """The environment that a launcher left is incomplete or contradicts itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """This process's place: `rank` of `world` in the run, `local_rank` on its machine, and its device."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    device: torch.device

    def leads(self, *, each_node: bool) -> bool:
        """Whether this is the process that speaks for the run, or with `each_node` for its machine."""
        return (self.local_rank if each_node else self.rank) == 0

    def barrier(self) -> None:
        """Wait for the other processes; returns at once if there are none."""
        if self.world > 1 and dist.is_initialized():
            dist.barrier()


def launch(*, cpu: bool = False, environment: Mapping[str, str] | None = None) -> Launch:
    """This process's place, from `environment` (the process's own if not given).

    cpu: compute on the CPU whatever else there is.

    Raises LaunchError for numbers that are missing or impossible.
    """
    env = os.environ if environment is None else environment
    world = _number(env, "WORLD_SIZE", 1)
    rank = _number(env, "RANK", 0 if world == 1 else None)
    local_rank = _number(env, "LOCAL_RANK", 0 if world == 1 else None)
    if environment is None and dist.is_available() and dist.is_initialized():
        rank, world = dist.get_rank(), dist.get_world_size()
    if not 0 <= rank < world:
        raise LaunchError(
            f"RANK is {rank} and WORLD_SIZE {world}: ranks go from 0 to {world - 1}",
            fix="start with torchrun or accelerate launch, which set both",
        )
    return Launch(rank=rank, world=world, local_rank=local_rank, device=_device(env, local_rank, cpu))


def _device(env: Mapping[str, str], local_rank: int, cpu: bool) -> torch.device:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if cpu or accelerator is None or env.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return torch.device("cpu")
    if accelerator.type == "mps":
        return accelerator
    return torch.device(accelerator.type, local_rank)


def _number(env: Mapping[str, str], name: str, default: int | None) -> int:
    text = env.get(name)
    if text is None:
        if default is not None:
            return default
        raise LaunchError(
            f"WORLD_SIZE is {env.get('WORLD_SIZE')} and {name} is not set",
            fix="start with torchrun --nproc-per-node N script.py, or accelerate launch script.py",
        )
    if not text.lstrip("-").isdigit():
        raise LaunchError(f"the environment variable {name} is {text!r}, not a number", fix=f"unset {name}")
    return int(text)


def start_processes(backend: str | None, device: torch.device, timeout: timedelta) -> None:
    """Connect the run's processes, if they are not yet: gloo for CPUs, NCCL or its like for others."""
    if device.type != "cpu":
        torch.accelerator.set_device_index(device.index or 0)
    if not dist.is_initialized():
        chosen = backend or ("gloo" if device.type == "cpu" else dist.get_default_backend_for_device(device))
        dist.init_process_group(chosen, timeout=timeout)
