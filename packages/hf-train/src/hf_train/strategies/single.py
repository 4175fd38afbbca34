"""Training in one process on one device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@final
class SingleDevice:
    """Training in one process on one device.

    Args:
        device: a torch device such as `cuda:0`; empty for the accelerator, or the CPU where there is none.
    """

    rank = 0
    world = 1
    leads = True

    def __init__(self, device: str | torch.device = "") -> None:
        accelerator = torch.accelerator.current_accelerator() or torch.device("cpu")
        self.device = torch.device(device) if device else accelerator

    def place(self, model: nn.Module) -> nn.Module:
        """The same model, moved to the device."""
        return model.to(self.device)

    def unsynced(self, model: nn.Module) -> AbstractContextManager[None]:
        """Nothing to keep back: gradients are always here."""
        return nullcontext()

    def total(self, value: Tensor) -> Tensor:
        """`value` itself: one process holds all data."""
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """`rows` themselves."""
        return rows

    def clip(self, parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Clip in place; the 2-norm of all gradients before clipping, a 0-dimensional tensor."""
        return clip(parameters, max_norm)

    def whole(self, model: nn.Module) -> AbstractContextManager[None]:
        """Parameters are whole at all times."""
        return nullcontext()

    def optimizer_state(self, model: nn.Module, optimizer: Optimizer) -> Mapping[str, Any]:
        """The optimizer's own state."""
        return optimizer.state_dict()

    def load_optimizer_state(self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load it back."""
        optimizer.load_state_dict(dict(state))

    def barrier(self) -> None:
        """Nobody to wait for."""


def clip(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """The 2-norm of all gradients, which are then scaled, in place, to have at most `max_norm`.

    The same numbers as `torch.nn.utils.clip_grad_norm_`, without touching gradients that are already small.
    """
    kept = [p for p in parameters if p.grad is not None]
    gradients = [p.grad for p in kept if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm = nn.utils.get_total_norm(gradients)
    if max_norm != float("inf"):
        nn.utils.clip_grads_with_norm_(kept, max_norm, norm)
    return norm
