"""Choosing the integers of one weight by what its inputs look like: GPTQ, clipping as in AWQ, signed gradients.

Each function minimises the mean over calibration tokens of |W x - W' x|², and gives `Integers` of a codec that
has bits, a group size and a scale and zero for each group. N outputs, K inputs, G groups of S inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from hf_quant.affine import Integers, nearest_asymmetric, nearest_symmetric
from hf_quant.calibrate.moments import Moments
from hf_quant.errors import CalibrationDataError

COLUMNS = 128
"""How many columns GPTQ rounds between two updates of all that follow."""
LARGEST_GROUP = 256
TRIES = 5


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Where numbers may lie: `bits` wide, groups of `group_size` (-1 for all inputs), zeros in the middle or not."""

    bits: int
    group_size: int
    symmetric: bool

    def nearest(self, weight_NK: Tensor, group_size: int | None = None) -> Integers:
        """Rounded to nearest, scales as float16. Raises PackingError, NonFiniteError."""
        rounded = nearest_symmetric if self.symmetric else nearest_asymmetric
        return rounded(weight_NK, self.bits, group_size or self.group_size, torch.float16)

    def length(self, K: int) -> int:
        """The inputs of a group."""
        return K if self.group_size == -1 else self.group_size


def gptq(
    weight_NK: Tensor, moments: Moments, grid: Grid, *, damp: float, desc_act: bool, group_aware: bool
) -> Integers:
    """Columns rounded one after the other, each error made good by the columns that follow (arXiv 2210.17323).

    damp: what is added to the Hessian's diagonal, relative to its mean.
    desc_act: round active inputs first and let groups follow that order, so that inputs have a group index.
    group_aware: without it, still begin with active groups, and in each with active inputs; files do not differ.
    Raises CalibrationDataError if no amount of damping makes the Hessian invertible.
    """
    K, size = weight_NK.shape[1], grid.length(weight_NK.shape[1])
    order, group_of = _order(moments.second_KK.diagonal(), size, desc_act=desc_act, group_aware=group_aware)
    work_NK = weight_NK.float()[:, order]
    factor_KK = _inverse_factor(moments.second_KK[order][:, order], damp)
    q_NK = torch.empty_like(work_NK)
    scale_NG = work_NK.new_empty(work_NK.shape[0], K // size, dtype=torch.float16)
    zero_NG = torch.empty_like(scale_NG, dtype=torch.float32)
    top, width, group = 2**grid.bits - 1, size if size <= LARGEST_GROUP else COLUMNS, 0
    for start in range(0, K, width):
        end = min(start + width, K)
        error_NW = torch.empty_like(work_NK[:, start:end])
        for i in range(start, end):
            if i % size == 0:
                here = grid.nearest(work_NK[:, i : i + size], size)
                assert here.zero_NG is not None, "both roundings give zeros"
                group = int(group_of[i])
                scale_NG[:, group], zero_NG[:, group] = here.scale_NG[:, 0], here.zero_NG[:, 0]
            step_N, zero_N = scale_NG[:, group].float(), zero_NG[:, group]
            q_N = torch.round(work_NK[:, i] / step_N + zero_N).clamp_(0, top)
            q_NK[:, i] = q_N
            error_N = (work_NK[:, i] - (q_N - zero_N) * step_N) / factor_KK[i, i]
            work_NK[:, i:end] -= error_N[:, None] * factor_KK[i, i:end]
            error_NW[:, i - start] = error_N
        work_NK[:, end:] -= error_NW @ factor_KK[start:end, end:]
    back = torch.argsort(order)
    return Integers(
        q_NK=q_NK[:, back].to(torch.uint8),
        scale_NG=scale_NG,
        zero_NG=zero_NG,
        group_K=group_of[back] if desc_act else None,
    )


def _order(diagonal_K: Tensor, size: int, *, desc_act: bool, group_aware: bool) -> tuple[Tensor, Tensor]:
    """In which order inputs are rounded, and the group of each place in that order."""
    K = len(diagonal_K)
    places = torch.arange(K, device=diagonal_K.device)
    if desc_act:
        return torch.argsort(diagonal_K, descending=True, stable=True), places // size
    if not group_aware:
        return places, places // size
    by_group_GS = diagonal_K.unflatten(0, (-1, size))
    groups = torch.argsort(by_group_GS.amax(-1), descending=True, stable=True)
    inside_GS = torch.argsort(by_group_GS, dim=-1, descending=True, stable=True)
    order = (groups[:, None] * size + inside_GS[groups]).flatten()
    return order, order // size


def _inverse_factor(second_KK: Tensor, damp: float) -> Tensor:
    """U with UᵀU = H⁻¹, H damped; inputs that are always zero count as independent of all others."""
    hessian_KK = second_KK.clone()
    diagonal_K = hessian_KK.diagonal()
    diagonal_K[diagonal_K == 0] = 1.0
    extra = damp * float(diagonal_K.mean())
    for _ in range(TRIES):
        diagonal_K += extra
        lower_KK, failed = torch.linalg.cholesky_ex(hessian_KK)
        if not int(failed):
            upper_KK, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower_KK), upper=True)
            if not int(failed):
                return torch.as_tensor(upper_KK)
        extra *= 10
    raise CalibrationDataError(
        "the inputs of a layer are too alike to invert their Hessian", fix="use more and more varied text"
    )


def clipped(
    weight_NK: Tensor, moments: Moments, grid: Grid, *, steps: int = 10, least: float = 0.5
) -> Integers:
    """Rounded to nearest after each group was clipped at the share of its greatest magnitude that costs least.

    Shares go from 1 down to `least` (arXiv 2306.00978, section 4); groups are judged one by one.
    """
    K = weight_NK.shape[1]
    size = grid.length(K)
    plain_NGS = weight_NK.float().unflatten(-1, (-1, size))
    blocks = moments.second_KK.unflatten(0, (-1, size)).unflatten(-1, (-1, size))
    second_GSS = blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0)
    limit_NG1 = plain_NGS.abs().amax(-1, keepdim=True)
    best_NG: Tensor | None = None
    share_NG = torch.ones_like(limit_NG1[..., 0])
    for step in range(steps):
        share = 1 - step * (1 - least) / steps
        cut_NGS = plain_NGS.clamp(-share * limit_NG1, share * limit_NG1)
        made_NGS = grid.nearest(cut_NGS.flatten(1)).values(torch.float32).unflatten(-1, (-1, size))
        error_NGS = made_NGS - plain_NGS
        loss_NG = (torch.einsum("ngs,gst->ngt", error_NGS, second_GSS) * error_NGS).sum(-1)
        if best_NG is None:
            best_NG = loss_NG
            continue
        is_better = loss_NG < best_NG
        best_NG = torch.where(is_better, loss_NG, best_NG)
        share_NG = torch.where(is_better, share, share_NG)
    bound_NG1 = share_NG[..., None] * limit_NG1
    return grid.nearest(plain_NGS.clamp(-bound_NG1, bound_NG1).flatten(1))


def signed_gradient(weight_NK: Tensor, moments: Moments, grid: Grid, *, steps: int = 200) -> Integers:
    """Roundings moved by the sign of the loss's gradient (arXiv 2309.05516), with the whole Hessian in the loss.

    An offset V in [-1/2, 1/2] is added before rounding; it starts at zero, moves by a rate that falls from
    1 / steps to zero, and the best V for each row is kept. Scales are those of `clipped`.
    """
    start = clipped(weight_NK, moments, grid)
    assert start.zero_NG is not None, "both roundings give zeros"
    K, second_KK = weight_NK.shape[1], moments.second_KK
    size, top = grid.length(K), 2**grid.bits - 1
    scale_NK = start.scale_NG.float().repeat_interleave(size, -1)
    zero_NK = start.zero_NG.float().repeat_interleave(size, -1)
    plain_NK = weight_NK.float()
    exact_NK = plain_NK / scale_NK + zero_NK
    offset_NK = torch.zeros_like(exact_NK)
    best_NK, best_N = start.q_NK.float(), torch.full_like(exact_NK[:, 0], torch.inf)
    for step in range(steps):
        q_NK = torch.round(exact_NK + offset_NK).clamp_(0, top)
        error_NK = (q_NK - zero_NK) * scale_NK - plain_NK
        slope_NK = error_NK @ second_KK
        loss_N = (slope_NK * error_NK).sum(-1)
        is_better = loss_N < best_N
        best_N = torch.where(is_better, loss_N, best_N)
        best_NK = torch.where(is_better[:, None], q_NK, best_NK)
        rate = (1 - step / steps) / steps
        # Rounding passes gradients straight through; scales are positive, so they do not change the sign.
        offset_NK = (offset_NK - rate * slope_NK.sign()).clamp_(-0.5, 0.5)
    return replace(start, q_NK=best_NK.to(torch.uint8))
