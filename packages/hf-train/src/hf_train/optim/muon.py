"""Muon for matrices, AdamW for everything else, as one optimizer."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose iteration drives singular values towards 1, fast rather than exactly."""


@final
class Muon(PerTensorOptimizer):
    """Momentum whose update is made orthogonal, so that every direction of a matrix learns at one speed.

    Newton-Schulz iteration in place of a singular value decomposition; the update is multiplied by
    0.2 * sqrt(max(rows, columns)), so that learning rates and weight decay of AdamW carry over (arXiv 2502.16982).
    A group is optimized by AdamW unless it has `muon=True`; `muon_groups` sorts parameters so.

    Args:
        momentum, nesterov: of the matrices.
        betas, eps: of AdamW for the rest.
        steps: iterations.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        settings = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "steps": steps,
            "betas": betas,
            "eps": eps,
            "muon": False,
        }
        super().__init__(params, settings)

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """An orthogonal step for a matrix of a Muon group, AdamW's for any other tensor."""
        param.mul_(1 - group["lr"] * group["weight_decay"])
        if not group["muon"]:
            param.add_(_adam_direction(grad, state, group), alpha=-group["lr"])
            return
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(grad)
        buffer = state["momentum_buffer"].lerp_(grad, 1 - group["momentum"])
        wanted = grad.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
        scale = 0.2 * max(param.shape) ** 0.5
        param.add_(orthogonalized(wanted, group["steps"]).to(param), alpha=-group["lr"] * scale)


def orthogonalized(matrix_MN: Tensor, steps: int = 5) -> Tensor:
    """A matrix with the singular vectors of `matrix_MN` and singular values near 1 (0.7 to 1.2).

    In bfloat16 on accelerators, in the matrix's own precision, float32 at least, on the CPU.
    """
    a, b, c = COEFFICIENTS
    cpu = matrix_MN.device.type == "cpu"
    x: Tensor = matrix_MN.to(torch.promote_types(matrix_MN.dtype, torch.float32) if cpu else torch.bfloat16)
    tall = x.shape[0] > x.shape[1]
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.t()
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.t() if tall else x


def _adam_direction(grad: Tensor, state: State, group: Group) -> Tensor:
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(grad), torch.zeros_like(grad)
    step = state["step"] = state.get("step", 0) + 1
    beta1, beta2 = group["betas"]
    mean: Tensor = state["exp_avg"].lerp_(grad, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root: Tensor = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
    result: Tensor = mean / (1 - beta1**step) / root
    return result
