"""Relatives of AdamW: a slow second momentum, steps that shrink with surprise, and exact sums in bfloat16."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State


@final
class AdEMAMix(PerTensorOptimizer):
    """AdamW with a second, much slower momentum added `alpha` times (arXiv 2409.03137).

    Args:
        betas: decay of the fast momentum, of the squares, and of the slow momentum.
        t_alpha, t_beta3: steps in which alpha, and the third beta, grow to their values; None for at once.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        t_alpha: int | None = None,
        t_beta3: int | None = None,
    ) -> None:
        settings = {
            "lr": lr,
            "betas": betas,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "t_alpha": t_alpha,
            "t_beta3": t_beta3,
        }
        super().__init__(params, settings)

    def begin(self, group: Group) -> None:
        """Count the step; the group's tensors share it."""
        group["step"] = group.get("step", 0) + 1

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Algorithm 1 of the paper."""
        if "exp_avg" not in state:
            state.update(
                {name: torch.zeros_like(param) for name in ("exp_avg", "exp_avg_slow", "exp_avg_sq")}
            )
        step, (beta1, beta2, _) = group["step"], group["betas"]
        alpha, beta3 = _grown_alpha(group), _grown_beta3(group)
        fast = state["exp_avg"].mul_(beta1).add_(grad, alpha=1 - beta1)
        slow = state["exp_avg_slow"].mul_(beta3).add_(grad, alpha=1 - beta3)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = (square.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
        change = (fast / (1 - beta1**step) + alpha * slow) / root
        param.sub_(group["lr"] * change.add_(param, alpha=group["weight_decay"]))


def _grown_alpha(group: Group) -> float:
    alpha: float = group["alpha"]
    return alpha if group["t_alpha"] is None else min(group["step"] * alpha / group["t_alpha"], alpha)


def _grown_beta3(group: Group) -> float:
    """From the first beta to the third so that the momentum's half-life grows linearly (appendix A.1)."""
    beta1, _, beta3 = group["betas"]
    if group["t_beta3"] is None:
        return float(beta3)
    share, log1, log3 = group["step"] / group["t_beta3"], math.log(beta1), math.log(beta3)
    return min(math.exp(log1 * log3 / ((1 - share) * log3 + share * log1)), float(beta3))


@final
class StableAdamW(PerTensorOptimizer):
    """AdamW that takes a smaller step for a tensor whose gradient is larger than its history (arXiv 2304.13013).

    Args:
        decouple_lr: weight decay does not scale with `lr` but with `lr / max_lr`.
        kahan_sum: keep what rounding to half precision lost; None for where parameters are in half precision.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 1e-2,
        eps: float = 1e-6,
        decouple_lr: bool = False,
        max_lr: float | None = None,
        kahan_sum: bool | None = None,
    ) -> None:
        settings = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "eps": eps,
            "decouple_lr": decouple_lr,
            "max_lr": lr if max_lr is None else max_lr,
            "kahan_sum": kahan_sum,
        }
        super().__init__(params, settings)

    def begin(self, group: Group) -> None:
        """Count the step; the group's tensors share it."""
        group["step"] = group.get("step", 0) + 1

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Moments with the bias correction in their decay, then a step divided by the surprise."""
        if "exp_avg" not in state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(param), torch.zeros_like(param)
        (beta1, beta2), step, eps = group["betas"], group["step"], group["eps"]
        mean = state["exp_avg"].lerp_(grad, 1 - _corrected(beta1, step))
        beta2 = _corrected(beta2, step)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        surprise = float(grad.square().div_(square.clamp(min=eps**2)).mean().sqrt())
        lr = group["lr"] / max(1.0, surprise)
        if group["weight_decay"] != 0:
            share = lr / group["max_lr"] if group["decouple_lr"] else lr
            param.mul_(1 - share * group["weight_decay"])
        _add(param, (mean / square.sqrt().add_(eps)).mul_(-lr), state, kahan=group["kahan_sum"])


def _corrected(beta: float, step: int) -> float:
    """The decay under which a running mean needs no bias correction."""
    return (beta**step - beta) / (beta**step - 1)


@final
class AnyPrecisionAdamW(PerTensorOptimizer):
    """AdamW with moments in dtypes of one's own, and sums of bfloat16 weights that lose nothing to rounding.

    Args:
        use_kahan_summation: keep the rounding error of each weight, in `compensation_buffer_dtype`.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        use_kahan_summation: bool = False,
        momentum_dtype: torch.dtype = torch.float32,
        variance_dtype: torch.dtype = torch.float32,
        compensation_buffer_dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        settings = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "kahan_sum": use_kahan_summation,
            "momentum_dtype": momentum_dtype,
            "variance_dtype": variance_dtype,
            "compensation_buffer_dtype": compensation_buffer_dtype,
        }
        super().__init__(params, settings)

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """AdamW with decoupled weight decay."""
        if "exp_avg" not in state:
            state["exp_avg"] = torch.zeros_like(param, dtype=group["momentum_dtype"])
            state["exp_avg_sq"] = torch.zeros_like(param, dtype=group["variance_dtype"])
            if group["kahan_sum"]:
                state["compensation"] = torch.zeros_like(param, dtype=group["compensation_buffer_dtype"])
        step = state["step"] = state.get("step", 0) + 1
        # Loading a checkpoint casts states to the dtype of the parameter.
        mean = state["exp_avg"] = state["exp_avg"].to(group["momentum_dtype"])
        square = state["exp_avg_sq"] = state["exp_avg_sq"].to(group["variance_dtype"])
        beta1, beta2 = group["betas"]
        param.mul_(1 - group["lr"] * group["weight_decay"])
        mean.mul_(beta1).add_(grad, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = (square.sqrt() / math.sqrt(1 - beta2**step)).add_(group["eps"])
        change = mean / root * (-group["lr"] / (1 - beta1**step))
        _add(param, change, state, kahan=group["kahan_sum"])


def _add(param: Tensor, change: Tensor, state: State, *, kahan: bool | None) -> None:
    """`param += change`; with Kahan's sum what rounding loses is carried to the next step."""
    short = param.dtype in (torch.float16, torch.bfloat16)
    if not (short if kahan is None else kahan):
        param.add_(change)
        return
    if "compensation" not in state:
        state["compensation"] = torch.zeros_like(param)
    rest = state["compensation"].add_(change)
    before = param.clone()
    param.add_(rest)
    rest.add_(before.sub_(param))
