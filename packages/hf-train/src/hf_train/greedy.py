"""A learning rate that rises while a measured value improves and falls while it does not (arXiv 2512.14527)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

from torch.optim import Optimizer


@final
class GreedyLR:
    """Multiplies the learning rates by `factor` after `patience` values without improvement, divides after as many
    improvements in a row.

    Args:
        mode: whether smaller values ("min") or larger ones are better.
        factor: below 1.
        threshold, threshold_mode: by how much a value must beat the best one, absolutely or relative to it.
        cooldown, warmup: values to ignore after a decrease, and after an increase.
        min_lr, max_lr: bounds, one for all parameter groups or one each.
        eps: smaller changes are not made.
        smooth, window_size: judge the mean of the last `window_size` values.
        reset_start: decreases at the lower bound after which everything begins anew.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.95,
        patience: int = 10,
        threshold: float = 1e-6,
        threshold_mode: Literal["rel", "abs"] = "abs",
        cooldown: int = 0,
        warmup: int = 0,
        min_lr: float | Sequence[float] = 1e-3,
        max_lr: float | Sequence[float] = 1.0,
        eps: float = 1e-8,
        smooth: bool = False,
        window_size: int = 50,
        reset_start: int = 500,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"factor is {factor}, expected a number between 0 and 1")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"mode is {mode!r} (min, max) and threshold_mode {threshold_mode!r} (rel, abs)")
        groups = len(optimizer.param_groups)
        self.optimizer = optimizer
        self.mode, self.threshold_mode, self.threshold = mode, threshold_mode, threshold
        self.factor, self.patience, self.cooldown, self.warmup = factor, patience, cooldown, warmup
        self.min_lrs, self.max_lrs = (
            _per_group("min_lr", min_lr, groups),
            _per_group("max_lr", max_lr, groups),
        )
        self.eps, self.smooth, self.window_size, self.reset_start = eps, smooth, window_size, reset_start
        self.last_epoch = 0
        self._initial = [float(group["lr"]) for group in optimizer.param_groups]
        self._window: deque[float] = deque()
        self.best, self._sum = 0.0, 0.0
        self.bad, self.good, self.cooldown_left, self.warmup_left, self.resets_left = 0, 0, 0, 0, 0
        self._begin()

    def step(self, metrics: float) -> None:
        """Take one value of what is measured, and change the learning rates if it is time to."""
        self.last_epoch += 1
        value = self._smoothed(float(metrics))
        if self.cooldown_left or self.warmup_left:
            if self.cooldown_left:
                self.cooldown_left -= 1
            else:
                self.warmup_left -= 1
            self.bad = self.good = 0
        else:
            self._judge(value)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, under the names the peer writes."""
        state = {name: getattr(self, ours) for name, ours in _STATE.items()}
        state |= {"_last_lr": self.get_last_lr(), "reset_start_original": self.reset_start, "verbose": False}
        if self.smooth:
            state["_streaming_avg"] = {
                "window_size": self.window_size,
                "values": list(self._window),
                "sum": self._sum,
            }
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from `state_dict`, which this class or the peer's made; sets the learning rates too."""
        for name, ours in _STATE.items():
            setattr(self, ours, state_dict[name])
        self.reset_start = state_dict["reset_start_original"]
        window = state_dict.get("_streaming_avg", {"values": [], "sum": 0.0})
        self._window, self._sum = deque(window["values"]), window["sum"]
        for group, rate in zip(self.optimizer.param_groups, state_dict["_last_lr"], strict=True):
            group["lr"] = rate

    def _begin(self) -> None:
        self.best = math.inf if self.mode == "min" else -math.inf
        self.bad = self.good = self.cooldown_left = self.warmup_left = 0
        self.resets_left = self.reset_start
        self._window.clear()
        self._sum = 0.0

    def _smoothed(self, value: float) -> float:
        if not self.smooth:
            return value
        self._window.append(value)
        self._sum += value
        if len(self._window) > self.window_size:
            self._sum -= self._window.popleft()
        return self._sum / len(self._window)

    def _judge(self, value: float) -> None:
        if self._better(value):
            self.best, self.bad, self.good = value, 0, self.good + 1
        else:
            self.bad, self.good = self.bad + 1, 0
        if self.good > self.patience:
            self._change(1.0 / self.factor)
            self.resets_left = self.reset_start
            self.warmup_left, self.good = self.warmup, 0
        elif self.bad > self.patience:
            self._change(self.factor)
            rates = zip(self.get_last_lr(), self.min_lrs, strict=True)
            if all(rate <= low for rate, low in rates):
                self.resets_left -= 1
                if self.resets_left <= 0:
                    self._restart()
            self.cooldown_left, self.bad = self.cooldown, 0

    def _better(self, value: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        relative = self.threshold_mode == "rel"
        bar = self.best * (1.0 + sign * self.threshold) if relative else self.best + sign * self.threshold
        return value < bar if self.mode == "min" else value > bar

    def _change(self, by: float) -> None:
        for group, low, high in zip(self.optimizer.param_groups, self.min_lrs, self.max_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, low) if by < 1 else min(old / self.factor, high)
            if (old - new if by < 1 else new - old) > self.eps:
                group["lr"] = new

    def _restart(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self._initial, strict=True):
            group["lr"] = rate
        self._begin()


_STATE = {
    "factor": "factor",
    "min_lrs": "min_lrs",
    "max_lrs": "max_lrs",
    "patience": "patience",
    "cooldown": "cooldown",
    "warmup": "warmup",
    "cooldown_counter": "cooldown_left",
    "warmup_counter": "warmup_left",
    "mode": "mode",
    "threshold": "threshold",
    "threshold_mode": "threshold_mode",
    "best": "best",
    "num_bad_epochs": "bad",
    "num_good_epochs": "good",
    "eps": "eps",
    "last_epoch": "last_epoch",
    "smooth": "smooth",
    "window_size": "window_size",
    "reset_start": "resets_left",
    "_init_lrs": "_initial",
}


def _per_group(name: str, value: float | Sequence[float], groups: int) -> list[float]:
    values = [float(value)] * groups if isinstance(value, int | float) else [float(one) for one in value]
    if len(values) != groups:
        raise ValueError(f"{name} has {len(values)} values for {groups} parameter groups")
    return values
