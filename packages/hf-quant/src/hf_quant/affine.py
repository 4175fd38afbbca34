"""Weights as integers with a scale for each group of inputs: what GPTQ, AWQ, HQQ and many others pack.

N outputs, K inputs, G groups of inputs; experts may stand in front of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from hf_quant.codec import Parts, Shape
from hf_quant.errors import PackingError
from hf_quant.formats.checks import require_finite

TINY = torch.finfo(torch.float32).tiny


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Integers:
    """W = (q - zero) * scale, or q * scale + shift.

    q_NK: uint8, or int8 where the format is signed.
    scale_NG: one for each group, (N, G).
    zero_NG: in steps of q, whole or fractional; None is zero.
    shift_NG: in the weight's own unit; None is zero. Only one of `zero` and `shift` is given.
    group_K: the group of each input; None where groups are neighbours of equal length.
    input_K: what each input is multiplied by; None is one.
    """

    q_NK: Tensor
    scale_NG: Tensor
    zero_NG: Tensor | None = None
    shift_NG: Tensor | None = None
    group_K: Tensor | None = None
    input_K: Tensor | None = None

    def values(self, dtype: torch.dtype) -> Tensor:
        """The weight (N, K), calculated in float32 (or in `dtype` if that is wider) and rounded once."""
        wide = torch.promote_types(dtype, torch.float32)
        scale, zero, shift = (
            None if t is None else t.to(wide) for t in (self.scale_NG, self.zero_NG, self.shift_NG)
        )
        assert scale is not None, "scales are always given"
        K, G = self.q_NK.shape[-1], scale.shape[-1]
        q = self.q_NK.to(wide)
        if self.group_K is None and K % G == 0:
            q = torch.unflatten(q, -1, (G, K // G))
            scale, zero, shift = (None if t is None else t[..., None] for t in (scale, zero, shift))
        else:
            groups = torch.arange(K, device=q.device) // -(-K // G) if self.group_K is None else self.group_K
            scale, zero, shift = (None if t is None else _spread(t, groups) for t in (scale, zero, shift))
        assert scale is not None, "as above"
        if zero is not None:
            q -= zero
        q *= scale
        if shift is not None:
            q += shift
        q = q.reshape(self.q_NK.shape)
        if self.input_K is not None:
            q *= self.input_K.to(wide)[..., None, :]
        return q.to(dtype)


@runtime_checkable
class Affine(Protocol):
    """A codec of integers with scales, which kernels for such weights can serve."""

    bits: int

    def integers(self, parts: Parts, shape: Shape) -> Integers:
        """The numbers, unpacked."""
        ...

    def assemble(self, integers: Integers) -> dict[str, Tensor]:
        """The parts that hold these numbers."""
        ...


def _spread(t_NG: Tensor, group_K: Tensor) -> Tensor:
    """(N, G) to (N, K), by the group of each input; experts may have groups of their own."""
    index = group_K.long()
    if index.ndim == 1:
        return t_NG[..., index]
    return torch.gather(t_NG, -1, index[..., None, :].expand(*t_NG.shape[:-1], -1))


def group_count(K: int, group_size: int) -> int:
    """How many groups a row of K inputs has; a size of -1 is the whole row. Raises PackingError."""
    if group_size == -1:
        return 1
    if K % group_size:
        raise PackingError(f"{K} inputs do not divide into groups of {group_size}")
    return K // group_size


def nearest_asymmetric(weight: Tensor, bits: int, group_size: int, dtype: torch.dtype) -> Integers:
    """Groups from their least to their greatest value, zero included, in 2^bits - 1 steps.

    Zeros are whole steps; scales are rounded to `dtype` before weights are divided by them.
    """
    grouped = _grouped(weight, group_size)
    low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
    require_finite(high - low)
    top = 2**bits - 1
    scale = ((high - low) / top).clamp(min=_least(dtype)).to(dtype)
    zero = torch.round(-low / scale.float()).clamp(0, top)
    q = torch.round(grouped / scale.float()[..., None] + zero[..., None]).clamp_(0, top)
    return Integers(q_NK=q.to(torch.uint8).reshape(weight.shape), scale_NG=scale, zero_NG=zero)


def nearest_symmetric(weight: Tensor, bits: int, group_size: int, dtype: torch.dtype) -> Integers:
    """Groups from minus to plus their greatest magnitude in 2^bits - 1 steps around a zero of 2^(bits-1).

    Scales are 2 * max|w| / (2^bits - 1), rounded to `dtype` before weights are divided by them.
    """
    grouped = _grouped(weight, group_size)
    top = 2**bits - 1
    size = grouped.abs().amax(-1)
    require_finite(size)
    scale = (2 * size / top).clamp(min=_least(dtype)).to(dtype)
    zero = torch.full_like(scale, 2 ** (bits - 1), dtype=torch.float32)
    q = torch.round(grouped / scale.float()[..., None] + zero[..., None]).clamp_(0, top)
    return Integers(q_NK=q.to(torch.uint8).reshape(weight.shape), scale_NG=scale, zero_NG=zero)


def _grouped(weight: Tensor, group_size: int) -> Tensor:
    return torch.unflatten(weight.float(), -1, (group_count(weight.shape[-1], group_size), -1))


def _least(dtype: torch.dtype) -> float:
    """The least scale that divides without overflow: a group of zeros has it."""
    return max(torch.finfo(dtype).smallest_normal, TINY)
