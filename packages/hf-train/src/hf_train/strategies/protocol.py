"""What a training loop asks of the devices it runs on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Strategy(Protocol):
    """How training is spread over devices; the rest of the loop is the same for all layouts.

    Processes that hold different data are counted by `world` and numbered by `rank`; processes that share their
    data (tensor, context or pipeline parallel) have the same rank.
    """

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        ...

    @property
    def rank(self) -> int:
        """Which share of the data this process takes, from 0."""
        ...

    @property
    def world(self) -> int:
        """How many shares the data has."""
        ...

    @property
    def leads(self) -> bool:
        """Whether this process writes the files that exist once."""
        ...

    def place(self, model: nn.Module) -> nn.Module:
        """The model as training runs it: moved, wrapped or sharded. Its parameters are then final."""
        ...

    def unsynced(self, model: nn.Module) -> AbstractContextManager[None]:
        """A block whose backward passes keep gradients here, because more are to be added before the step."""
        ...

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes that hold different data, equal in each of them.

        Token counts and losses go through here before anything is divided by them.
        """
        ...

    def gather(self, rows: Tensor) -> Tensor:
        """`rows` (n, ...) of every share of the data, joined in order of rank; the shapes must agree."""
        ...

    def clip(self, parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Bound the 2-norm of all gradients of the model by `max_norm`, in place; the norm before.

        An infinite `max_norm` only measures.
        """
        ...

    def whole(self, model: nn.Module) -> AbstractContextManager[None]:
        """A block in which the placed model's parameters are whole tensors, to be read. All processes enter."""
        ...

    def optimizer_state(self, model: nn.Module, optimizer: Optimizer) -> Mapping[str, Any]:
        """The optimizer's whole state, to be written by the leader. All processes call."""
        ...

    def load_optimizer_state(self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Give the optimizer what `optimizer_state` returned, in this or another layout."""
        ...

    def barrier(self) -> None:
        """Wait until all processes are here."""
        ...
