"""Lion: steps of equal size in every coordinate, by the sign of a momentum (arXiv 2302.06675)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State


@final
class Lion(PerTensorOptimizer):
    """One moment instead of Adam's two; wants a learning rate 3 to 10 times smaller, and more weight decay."""

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Algorithm 2 of the paper."""
        if "exp_avg" not in state:
            state["exp_avg"] = torch.zeros_like(param)
        moment, (beta1, beta2) = state["exp_avg"], group["betas"]
        param.mul_(1.0 - group["lr"] * group["weight_decay"])
        direction = (moment * beta1).add_(grad, alpha=1.0 - beta1).sign_()
        param.add_(direction, alpha=-group["lr"])
        moment.mul_(beta2).add_(grad, alpha=1.0 - beta2)
