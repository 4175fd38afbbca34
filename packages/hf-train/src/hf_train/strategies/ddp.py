"""Data parallel: each process holds the whole model and a share of the data (torch DDP)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, final

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from hf_train.strategies.launch import Launch, launch, start_processes
from hf_train.strategies.single import clip


@dataclass(frozen=True, kw_only=True, slots=True)
class DdpOptions:
    """What DDP is told. `find_unused_parameters` is for models of which a batch may leave parts out."""

    find_unused_parameters: bool = False
    bucket_cap_mb: int | None = None
    broadcast_buffers: bool = True
    static_graph: bool = False
    backend: str | None = None
    timeout: timedelta = timedelta(minutes=30)


@final
class DataParallel:
    """Each process computes gradients of its own rows; their mean is formed while the backward pass goes on.

    The processes are those a launcher started (torchrun, accelerate launch), or that already are connected.
    """

    def __init__(self, options: DdpOptions | str = "", place: Launch | None = None) -> None:
        self.options = options if isinstance(options, DdpOptions) else DdpOptions(backend=options or None)
        self.launched = launch() if place is None else place
        start_processes(self.options.backend, self.launched.device, self.options.timeout)
        self.device, self.rank, self.world = self.launched.device, dist.get_rank(), dist.get_world_size()
        self.leads = self.rank == 0

    def place(self, model: nn.Module) -> nn.Module:
        """The model on this process's device, wrapped so that gradients are averaged."""
        model = model.to(self.device)
        if not any(p.requires_grad for p in model.parameters()):
            return model
        return DistributedDataParallel(
            model,
            device_ids=None if self.device.type == "cpu" else [self.device],
            find_unused_parameters=self.options.find_unused_parameters,
            bucket_cap_mb=self.options.bucket_cap_mb,
            broadcast_buffers=self.options.broadcast_buffers,
            static_graph=self.options.static_graph,
            gradient_as_bucket_view=True,
        )

    def unsynced(self, model: nn.Module) -> AbstractContextManager[None]:
        """A block whose backward passes are not averaged."""
        return _unsynced(model) if isinstance(model, DistributedDataParallel) else nullcontext()

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        value = value.to(self.device, copy=True)
        dist.all_reduce(value)
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, joined in order of rank."""
        rows = rows.to(self.device).contiguous()
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    def clip(self, parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Clip in place; gradients are already the same in all processes."""
        return clip(parameters, max_norm)

    def whole(self, model: nn.Module) -> AbstractContextManager[None]:
        """Parameters are whole at all times."""
        return nullcontext()

    def optimizer_state(self, model: nn.Module, optimizer: Optimizer) -> Mapping[str, Any]:
        """The optimizer's own state, the same in all processes."""
        return optimizer.state_dict()

    def load_optimizer_state(self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load it back."""
        optimizer.load_state_dict(dict(state))

    def barrier(self) -> None:
        """Wait for the other processes."""
        dist.barrier()


@contextmanager
def _unsynced(model: DistributedDataParallel) -> Iterator[None]:
    with model.no_sync():
        yield
