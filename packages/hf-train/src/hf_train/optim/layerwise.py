"""Moving each tensor as soon as its gradient is there, so that the gradients of a model never exist together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from hf_train.optim.base import Group


@final
class Layerwise(Optimizer):
    """An optimizer per tensor, stepped within the backward pass; `step` itself has nothing left to do.

    Gradients are gone when the backward pass ends: they can be neither accumulated nor clipped nor inspected.
    Learning rates are read from the groups here, so schedules work as ever.

    Args:
        groups: as for any optimizer.
        make: the optimizer of one group with one tensor.
    """

    def __init__(self, groups: list[Group], make: Callable[[Group], Optimizer]) -> None:
        self._parts: list[tuple[Optimizer, int]] = []
        self._handles: list[Any] = []
        super().__init__(groups, dict(make({**groups[0], "params": [groups[0]["params"][0]]}).defaults))
        for index, group in enumerate(groups):
            for param in group["params"]:
                part = make({**group, "params": [param]})
                self._parts.append((part, index))
                self._handles.append(param.register_post_accumulate_grad_hook(self._hook(part, index)))

    def _hook(self, part: Optimizer, index: int) -> Callable[[Tensor], None]:
        def move(param: Tensor) -> None:
            part.param_groups[0]["lr"] = self.param_groups[index]["lr"]
            part.step()
            param.grad = None

        return move

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # one form
        """Nothing: the tensors moved in the backward pass. A `closure` is run for that."""
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts, as an ordinary optimizer over the same tensors writes them."""
        whole = super().state_dict()
        states = [part.state_dict()["state"].get(0, {}) for part, _ in self._parts]
        whole["state"] = {number: state for number, state in enumerate(states) if state}
        return whole

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        super().load_state_dict({**state_dict, "state": {}})
        for number, (part, index) in enumerate(self._parts):
            own = part.state_dict()
            own["state"] = {0: state_dict["state"][number]} if number in state_dict["state"] else {}
            group = {
                name: value for name, value in state_dict["param_groups"][index].items() if name != "params"
            }
            own["param_groups"] = [{**group, "params": [0]}]
            part.load_state_dict(own)

    def detach(self) -> None:
        """Take the hooks off the tensors, so that another optimizer can have them."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
