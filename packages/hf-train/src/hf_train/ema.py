"""A moving average of the weights, often a better model than the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from hf_train.errors import ResumeError


@final
class WeightAverage:
    """average = decay * average + (1 - decay) * weight, after each step, for all parameters that are trained.

    The first steps use a smaller decay, (1 + n) / (10 + n), so that the average does not stay at its start.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._averages = {name: p.detach().clone() for name, p in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        weights: list[Tensor] = [p.detach() for p in self._weights.values()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A block in which the model has the average as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def keep(self) -> None:
        """Give the model the average for good."""
        for name, weight in self._weights.items():
            weight.copy_(self._averages[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by parameter name, and how many steps they are made of."""
        return {**self._averages, "steps": torch.tensor(self.steps)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave. Raises ResumeError if it is of other parameters."""
        missing = sorted(set(self._averages) ^ (set(state) - {"steps"}))
        if missing:
            raise ResumeError(
                f"the averaged weights in the checkpoint are of another model: {missing[0]} is only on one side",
                fix="resume with the model and the trainable parameters that it was saved with",
            )
        self.steps = int(state["steps"])
        for name, average in self._averages.items():
            average.copy_(state[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            average = self._averages[name]
            kept = weight.detach().clone()
            weight.copy_(average)
            average.copy_(kept)
