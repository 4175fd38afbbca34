"""Optimizers that need no learning-rate schedule: they train one point and are evaluated at another
(arXiv 2405.15682).

Three sequences: z is moved by gradients, x is a running mean of z, and gradients are taken at y between them.
The parameters hold y while training and x otherwise: `train()` and `eval()` switch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, final

import torch
from torch import Tensor

from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State


class ScheduleFree(PerTensorOptimizer):
    """The base: averaging and switching. Call `train()` before the first step and `eval()` before using the model.

    Args:
        momentum: where y lies between z (0) and x (1).
        warmup_steps: steps in which the learning rate rises linearly.
        r, weight_lr_power: the mean weighs step k by k ** r * (largest learning rate) ** weight_lr_power.
    """

    def __init__(
        self,
        params: Parameters,
        settings: dict[str, Any],
        *,
        momentum: float,
        weight_decay: float,
        warmup_steps: int,
        r: float,
        weight_lr_power: float,
    ) -> None:
        if not 0 < momentum < 1:
            raise ValueError(f"a momentum (the first beta) of {momentum} is not between 0 and 1")
        shared = {
            "momentum": momentum,
            "weight_decay": weight_decay,
            "warmup_steps": warmup_steps,
            "r": r,
            "weight_lr_power": weight_lr_power,
            "k": 0,
            "train_mode": False,
            "weight_sum": 0.0,
            "lr_max": -1.0,
        }
        super().__init__(params, settings | shared)

    @abstractmethod
    def rate(self, group: Group) -> float:
        """The learning rate of step `group["k"] + 1`."""

    @abstractmethod
    def direction(self, grad: Tensor, state: State, group: Group) -> Tensor:
        """The way z goes down, a tensor of its own."""

    def begin(self, group: Group) -> None:
        """The share of the mean that this step's z gets."""
        if not group["train_mode"]:
            raise RuntimeError("a schedule-free optimizer was asked for a step without train()")
        rate = group["scheduled_lr"] = self.rate(group)
        group["k"] += 1
        group["lr_max"] = max(rate, group["lr_max"])
        weight = group["k"] ** group["r"] * group["lr_max"] ** group["weight_lr_power"]
        group["weight_sum"] += weight
        group["share"] = weight / group["weight_sum"] if group["weight_sum"] else 0.0

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Move z, and y directly, without ever forming x."""
        if "z" not in state:
            state["z"] = param.clone()
        down = self.direction(grad, state, group)
        if group["weight_decay"] != 0:
            down.add_(param, alpha=group["weight_decay"])
        rate, share = group["scheduled_lr"], group["share"]
        param.lerp_(state["z"], share)
        param.add_(down, alpha=rate * (group["momentum"] * (1 - share) - 1))
        state["z"].sub_(down, alpha=rate)

    @torch.no_grad()
    def train(self) -> None:
        """Let the parameters hold y, where gradients are taken."""
        self._switch(to_train=True)

    @torch.no_grad()
    def eval(self) -> None:
        """Let the parameters hold x, the mean, which is the result of training."""
        self._switch(to_train=False)

    def _switch(self, *, to_train: bool) -> None:
        for group in self.param_groups:
            if group["train_mode"] == to_train:
                continue
            weight = 1 - group["momentum"] if to_train else 1 - 1 / group["momentum"]
            for param in group["params"]:
                if "z" in self.state[param]:
                    param.lerp_(self.state[param]["z"], weight)
            group["train_mode"] = to_train


def _warm(group: Group) -> float:
    done = group["k"] + 1
    return float(group["lr"] * (done / group["warmup_steps"] if done <= group["warmup_steps"] else 1.0))


@final
class ScheduleFreeSGD(ScheduleFree):
    """Schedule-free gradient descent; wants learning rates ten to fifty times those of SGD with momentum."""

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr},
            momentum=momentum,
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            r=r,
            weight_lr_power=weight_lr_power,
        )

    def rate(self, group: Group) -> float:
        """Constant after the warmup."""
        return _warm(group)

    def direction(self, grad: Tensor, state: State, group: Group) -> Tensor:
        """The gradient."""
        return grad.clone()


@final
class ScheduleFreeAdamW(ScheduleFree):
    """Schedule-free AdamW; betas[0] is the momentum between z and x, and there is no first moment."""

    def __init__(
        self,
        params: Parameters,
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "beta2": betas[1], "eps": eps},
            momentum=betas[0],
            weight_decay=weight_decay,
            warmup_steps=warmup_steps,
            r=r,
            weight_lr_power=weight_lr_power,
        )

    def rate(self, group: Group) -> float:
        """Constant after the warmup."""
        return _warm(group)

    def direction(self, grad: Tensor, state: State, group: Group) -> Tensor:
        """The gradient over the root of its squares."""
        return grad / _root(grad, state, group)


@final
class ScheduleFreeRAdam(ScheduleFree):
    """Schedule-free AdamW with RAdam's rectification (arXiv 1908.03265) in place of a warmup.

    Args:
        silent_sgd_phase: do not move while the squares are too few to trust; else descend by the plain gradient.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        silent_sgd_phase: bool = True,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "beta2": betas[1], "eps": eps, "silent_sgd_phase": silent_sgd_phase},
            momentum=betas[0],
            weight_decay=weight_decay,
            warmup_steps=0,
            r=r,
            weight_lr_power=weight_lr_power,
        )

    def rate(self, group: Group) -> float:
        """The rectified learning rate."""
        length = _length(group["beta2"], group["k"] + 1)
        if length <= 4.0:
            return float(group["lr"] * (not group["silent_sgd_phase"]))
        limit = 2 / (1 - group["beta2"]) - 1
        trust = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
        return float(group["lr"] * trust**0.5)

    def direction(self, grad: Tensor, state: State, group: Group) -> Tensor:
        """The gradient, over the root of its squares once those can be trusted."""
        root = _root(grad, state, group)
        return grad / root if _length(group["beta2"], group["k"]) > 4.0 else grad.clone()


def _root(grad: Tensor, state: State, group: Group) -> Tensor:
    if "exp_avg_sq" not in state:
        state["exp_avg_sq"] = torch.zeros_like(grad)
    beta2 = group["beta2"]
    square: Tensor = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    result: Tensor = (square / (1 - beta2 ** group["k"])).sqrt_().add_(group["eps"])
    return result


def _length(beta2: float, step: int) -> float:
    """How many squares the running mean rests on by now."""
    return float(2 / (1 - beta2) - 1 - 2 * step * beta2**step / (1 - beta2**step))
