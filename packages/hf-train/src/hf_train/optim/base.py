"""The base of our optimizers: a rule for one tensor, applied to all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

Group: TypeAlias = dict[str, Any]
"""A parameter group: its tensors under "params", and the settings that hold for them."""
Parameters: TypeAlias = Iterable[Tensor] | Iterable[Group]
State: TypeAlias = dict[str, Any]
"""What is remembered for one tensor: tensors and numbers, so that it can be saved without pickle."""


class PerTensorOptimizer(Optimizer, ABC):
    """An optimizer that moves each tensor by itself."""

    def __init__(self, params: Parameters, defaults: Group) -> None:
        super().__init__(params, defaults)

    @abstractmethod
    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Move `param` in place; `state` is empty the first time."""

    def begin(self, group: Group) -> None:
        """What a step changes for a group as a whole, before its tensors move."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every tensor that has a gradient; `closure` computes loss and gradients first and is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                self.begin(group)
                for param in group["params"]:
                    if param.grad is not None:
                        self.update(param, param.grad, self.state[param], group)
        return loss
