"""Adafactor: second moments of matrices kept as row and column means (arXiv 1804.04235)."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State
from hf_train.optim.low_rank import project, project_back

_SHORT = (torch.float16, torch.bfloat16)


@final
class Adafactor(PerTensorOptimizer):
    """Adam's step sizes for a matrix (m, n) from m + n numbers instead of m * n.

    Args:
        lr: the learning rate; None with `relative_step`.
        eps: added to squared gradients, and the least scale of a parameter.
        clip_threshold: largest root mean square of an update before it is multiplied by the learning rate.
        decay_rate: the second moments decay by 1 - step ** decay_rate.
        beta1: decay of a first moment; None for none, which saves as much memory as the gradient takes.
        scale_parameter: multiply the learning rate by the root mean square of the parameter.
        relative_step: the learning rate is min(1e-2, 1 / sqrt(step)).
        warmup_init: with `relative_step`, min(1e-6 * step, 1 / sqrt(step)).

    A group with `rank` is optimized in the projected space of GaLore (`low_rank.project`).
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        if (lr is not None) == relative_step:
            raise ValueError("Adafactor takes either lr or relative_step=True")
        if warmup_init and not relative_step:
            raise ValueError("warmup_init=True needs relative_step=True")
        settings = {
            "lr": lr,
            "eps": eps,
            "clip_threshold": clip_threshold,
            "decay_rate": decay_rate,
            "beta1": beta1,
            "weight_decay": weight_decay,
            "scale_parameter": scale_parameter,
            "relative_step": relative_step,
            "warmup_init": warmup_init,
        }
        super().__init__(params, settings)

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Algorithm 4 and 6 of the paper; half-precision parameters are updated in float32."""
        wide = param.float() if param.dtype in _SHORT else param
        grad = grad.float() if grad.dtype in _SHORT else grad
        step = state["step"] = state.get("step", 0) + 1
        if "rank" in group:
            grad = project(grad, state, group, step - 1)
        lr = _rate(group, step, wide)
        decay = 1.0 - math.pow(step, group["decay_rate"])
        change = _inverse_root(state, grad.square() + group["eps"][0], decay).mul_(grad)
        change.div_((_rms(change) / group["clip_threshold"]).clamp_(min=1.0)).mul_(lr)
        if group["beta1"] is not None:
            if "exp_avg" not in state:
                state["exp_avg"] = torch.zeros_like(grad)
            state["exp_avg"] = _like(state["exp_avg"], grad)
            change = state["exp_avg"].mul_(group["beta1"]).add_(change, alpha=1 - group["beta1"])
        if "rank" in group:
            change = project_back(change, state, group, param.shape)
        if group["weight_decay"] != 0:
            wide.add_(wide, alpha=-group["weight_decay"] * lr)
        wide.sub_(change)
        if wide is not param:
            param.copy_(wide)


def _inverse_root(state: State, squares: Tensor, decay: float) -> Tensor:
    """One over the square root of the second moments, which are moved towards `squares`."""
    if squares.ndim < 2:
        if "exp_avg_sq" not in state:
            state["exp_avg_sq"] = torch.zeros_like(squares)
        moment = state["exp_avg_sq"] = _like(state["exp_avg_sq"], squares)
        return torch.rsqrt(moment.mul_(decay).add_(squares, alpha=1.0 - decay))
    if "exp_avg_sq_row" not in state:
        state["exp_avg_sq_row"] = squares.new_zeros(squares.shape[:-1])
        state["exp_avg_sq_col"] = squares.new_zeros(squares.shape[:-2] + squares.shape[-1:])
    rows = state["exp_avg_sq_row"] = _like(state["exp_avg_sq_row"], squares)
    columns = state["exp_avg_sq_col"] = _like(state["exp_avg_sq_col"], squares)
    rows.mul_(decay).add_(squares.mean(-1), alpha=1.0 - decay)
    columns.mul_(decay).add_(squares.mean(-2), alpha=1.0 - decay)
    per_row = (rows / rows.mean(-1, keepdim=True)).rsqrt_()
    return per_row.unsqueeze(-1) * columns.unsqueeze(-2).rsqrt()


def _rate(group: Group, step: int, param: Tensor) -> float:
    rate: float = group["lr"]
    if group["relative_step"]:
        rate = min(1e-6 * step if group["warmup_init"] else 1e-2, 1.0 / math.sqrt(step))
    if not group["scale_parameter"]:
        return rate
    return rate * max(float(group["eps"][1]), float(_rms(param)))


def _rms(tensor: Tensor) -> Tensor:
    result: Tensor = torch.linalg.vector_norm(tensor) / math.sqrt(tensor.numel())
    return result


def _like(moment: Tensor, grad: Tensor) -> Tensor:
    """Loading a checkpoint casts states to the parameter's dtype; they are used in the gradient's."""
    return moment.to(grad)
