"""Optimizing matrices in a small subspace: GaLore (arXiv 2403.03507) and APOLLO (arXiv 2412.05270).

A group takes part if it has `rank`, with `update_proj_gap` (steps between new subspaces), `scale`, and
`proj_type`: which side of a gradient (m, n) is projected. "std" is the longer one, "reverse_std" the shorter one,
"left" the rows, "right" the columns, "full" both.
"""

from __future__ import annotations

import math
from typing import Final, Literal, assert_never, final

import torch
from torch import Tensor
from torch.linalg import vector_norm

from hf_train.optim.base import Group, Parameters, PerTensorOptimizer, State

ProjType = Literal["std", "reverse_std", "left", "right", "full"]
Side = Literal["left", "right", "full"]
GROWTH: Final = 1.01
"""APOLLO lets the norm of an update grow by this factor a step (the limiter of arXiv 2410.01623)."""


@final
class GaLoreAdamW(PerTensorOptimizer):
    """AdamW whose moments live in the top `rank` singular directions of the gradient; other groups are plain AdamW.

    The weight decay is applied after the step, as the method's authors do.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Project the gradient, take Adam's step there, and project the step back."""
        low = "rank" in group
        if low:
            grad = project(grad, state, group, state.get("step", 0))
        change, step_size = _adam(grad, state, group)
        if low:
            change = project_back(change, state, group, param.shape)
        param.add_(change, alpha=-step_size)
        _decay(param, group)


@final
class ApolloAdamW(PerTensorOptimizer):
    """AdamW whose moments live in a random subspace and only say how much to scale each channel of the gradient.

    Groups with `rank` also have `proj` ("random" or "svd") and `scale_type` ("channel", or "tensor" for one
    factor per matrix, which with rank 1 is APOLLO-Mini).
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        tensors = (param for group in self.param_groups for param in group["params"])
        self._seeds = {param: number for number, param in enumerate(tensors, 1)}

    def update(self, param: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Adam in the subspace gives norms; the full gradient is scaled by their ratio."""
        if "rank" not in group:
            change, step_size = _adam(grad, state, group)
        else:
            state.setdefault("seed", self._seeds[param])
            random = group.get("proj", "random") == "random"
            low = project(grad, state, group, state.get("step", 0), random=random)
            direction, step_size = _adam(low, state, group)
            change = grad * _scaling(direction, low, grad.shape, group.get("scale_type", "channel"))
            change = _limited(change, state).mul_(math.sqrt(group["scale"]))
        param.add_(change, alpha=-step_size)
        _decay(param, group)


def project(grad: Tensor, state: State, group: Group, step: int, *, random: bool = False) -> Tensor:
    """`grad` (m, n) in the subspace of `state`, which is chosen anew every `update_proj_gap` steps."""
    side = _side(group["proj_type"], grad.shape)
    if "basis" not in state or step % group["update_proj_gap"] == 0:
        _choose(grad, state, group["rank"], side, random=random)
    basis: Tensor = state["basis"]
    match side:
        case "right":
            return torch.matmul(grad, basis.t())
        case "left":
            return torch.matmul(basis.t(), grad)
        case "full":
            result: Tensor = torch.linalg.multi_dot((basis.t(), grad, state["basis_right"].t()))
            return result
        case unknown:
            assert_never(unknown)


def project_back(low: Tensor, state: State, group: Group, shape: torch.Size) -> Tensor:
    """The matrix of `shape` that `low` stands for, times `scale`."""
    basis: Tensor = state["basis"]
    match _side(group["proj_type"], shape):
        case "right":
            whole = torch.matmul(low, basis)
        case "left":
            whole = torch.matmul(basis, low)
        case "full":
            whole = torch.linalg.multi_dot((basis, low, state["basis_right"]))
        case unknown:
            assert_never(unknown)
    return whole.mul(group["scale"])


def _side(kind: ProjType, shape: torch.Size) -> Side:
    tall = shape[0] >= shape[1]
    match kind:
        case "std":
            return "right" if tall else "left"
        case "reverse_std":
            return "left" if tall else "right"
        case "left" | "right" | "full":
            return kind
        case unknown:
            assert_never(unknown)


def _choose(grad: Tensor, state: State, rank: int, side: Side, *, random: bool) -> None:
    if random:
        shape = (grad.shape[0], rank) if side == "left" else (rank, grad.shape[1])
        generator = torch.Generator(grad.device).manual_seed(state["seed"])
        normal = torch.randn(shape, generator=generator, device=grad.device)
        state["basis"] = (normal / math.sqrt(rank)).to(grad.dtype)
        state["seed"] = _next_seed(state["seed"])
        return
    # Any basis near the gradient's will do, so float32 is enough, and enough for half precision too.
    left, _, right = torch.linalg.svd(grad.float(), full_matrices=False)
    state["basis"] = (right[:rank] if side == "right" else left[:, :rank]).to(grad.dtype)
    if side == "full":
        state["basis_right"] = right[:rank].to(grad.dtype)


def _next_seed(seed: int) -> int:
    generator = torch.Generator().manual_seed(seed)
    return int(torch.randint(0, torch.iinfo(torch.int64).max, (15,), generator=generator)[-1])


def _adam(grad: Tensor, state: State, group: Group) -> tuple[Tensor, float]:
    """Adam's direction, and the learning rate with both bias corrections in it."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(grad), torch.zeros_like(grad)
    step = state["step"] = state.get("step", 0) + 1
    beta1, beta2 = group["betas"]
    mean = state["exp_avg"].mul_(beta1).add_(grad, alpha=1.0 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1.0 - beta2)
    step_size = group["lr"] * math.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)
    return mean / square.sqrt().add_(group["eps"]), step_size


def _scaling(direction: Tensor, low: Tensor, shape: torch.Size, kind: Literal["channel", "tensor"]) -> Tensor:
    if kind == "tensor":
        top, bottom = vector_norm(direction), vector_norm(low)
    else:
        across = 0 if shape[0] < shape[1] else 1
        top = vector_norm(direction, dim=across, keepdim=True)
        bottom = vector_norm(low, dim=across, keepdim=True)
    factors: Tensor = top / (bottom + 1e-8)
    return factors


def _limited(change: Tensor, state: State) -> Tensor:
    norm = change.norm()
    if "norm" in state:
        limiter = torch.clamp(norm / (state["norm"] + 1e-8), min=GROWTH) / GROWTH
        change, norm = change / limiter, norm / limiter
    state["norm"] = norm
    return change


def _decay(param: Tensor, group: Group) -> None:
    if group["weight_decay"] > 0.0:
        param.add_(param, alpha=-group["lr"] * group["weight_decay"])
