"""Numbers to GGUF blocks, for the types whose rounding is a formula: what `unpack` in hf_modeling undoes.

Source: ggml (https://github.com/ggml-org/ggml, `quantize_row_*_ref` in `ggml-quants.c`). n blocks in, bytes out.
Types in K search for their scales, those in I for points of a grid; neither is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor

from hf_hub_io.gguf import GgmlType
from hf_quant.formats import e2m1
from hf_quant.formats.checks import require_finite
from hf_quant.formats.levels import Nearest

_CHUNK = 1 << 14  # blocks at a time


def pack(kind: GgmlType, weight: Tensor) -> Tensor:
    """Rows (..., K) as uint8 (..., bytes); `kind` is one of `PACKERS`. Raises NonFiniteError."""
    blocks = weight.reshape(-1, kind.block)
    packed = [_checked(kind, chunk.float()) for chunk in blocks.split(_CHUNK)]
    return torch.cat(packed).view(*weight.shape[:-1], -1)


def _checked(kind: GgmlType, blocks: Tensor) -> Tensor:
    require_finite(blocks.abs().amax(1))
    return PACKERS[kind](blocks)


def _q4_0(blocks: Tensor) -> Tensor:
    d, q = _by_largest(blocks, 8)
    return torch.cat((_half(d), _nibbles(q)), dim=1)


def _q4_1(blocks: Tensor) -> Tensor:
    d, least, q = _by_range(blocks, 15)
    return torch.cat((_half(d), _half(least), _nibbles(q)), dim=1)


def _q5_0(blocks: Tensor) -> Tensor:
    d, q = _by_largest(blocks, 16)
    return torch.cat((_half(d), _fifth_bits(q), _nibbles(q & 15)), dim=1)


def _q5_1(blocks: Tensor) -> Tensor:
    d, least, q = _by_range(blocks, 31)
    return torch.cat((_half(d), _half(least), _fifth_bits(q), _nibbles(q & 15)), dim=1)


def _q8_0(blocks: Tensor) -> Tensor:
    d = blocks.abs().amax(1, keepdim=True) / 127
    q = _away_from_zero(blocks * _reciprocal(d)).to(torch.int8).view(torch.uint8)
    return torch.cat((_half(d), q), dim=1)


def _tq1_0(blocks: Tensor) -> Tensor:
    d, digits = _ternary(blocks)
    long, short, rest = digits.split((160, 80, 16), dim=1)
    packed = torch.cat((_places(long, 5), _places(short, 5), _places(rest, 4)), dim=1)
    # As a fraction of 256 rather than of 243, rounded up, so that digits come out on top one by one.
    return torch.cat((((packed * 256 + 242) // 243).to(torch.uint8), _half(d)), dim=1)


def _tq2_0(blocks: Tensor) -> Tensor:
    d, digits = _ternary(blocks)
    four = digits.to(torch.uint8).view(-1, 2, 4, 32)
    packed = four[:, :, 0] | (four[:, :, 1] << 2) | (four[:, :, 2] << 4) | (four[:, :, 3] << 6)
    return torch.cat((packed.flatten(1), _half(d)), dim=1)


def _mxfp4(blocks: Tensor) -> Tensor:
    _, scales = e2m1.quantize_mx(blocks)
    scales = torch.where(blocks.any(1, keepdim=True), scales, 0)
    scaled = blocks / torch.where(scales > 0, e2m1.e8m0_scales(scales), torch.inf)
    # Unlike the specification's rounding, a tie goes to zero, and there is no minus zero.
    size = _nearest_size().code(scaled.abs().flatten()).view(blocks.shape)
    codes = size | torch.where((scaled < 0) & (size > 0), 8, 0).to(torch.uint8)
    return torch.cat((scales, _nibbles(codes)), dim=1)


@cache
def _nearest_size() -> Nearest:
    return Nearest.of_levels(torch.tensor(e2m1.MAGNITUDES, device="cpu"))


def _by_largest(blocks: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Scales by which the largest magnitude, with its sign, becomes -half; and levels 0 to 2 half - 1."""
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    d = largest / -half
    q = (blocks * _reciprocal(d) + (half + 0.5)).to(torch.uint8).clamp(max=2 * half - 1)
    return d, q


def _by_range(blocks: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scales, least values, and levels 0 to `top` between the least and the greatest."""
    least, greatest = blocks.aminmax(dim=1, keepdim=True)
    d = (greatest - least) / top
    q = ((blocks - least) * _reciprocal(d) + 0.5).to(torch.uint8).clamp(max=top)
    return d, least, q


def _ternary(blocks: Tensor) -> tuple[Tensor, Tensor]:
    d = blocks.abs().amax(1, keepdim=True)
    return d, _away_from_zero(blocks * _reciprocal(d)).int() + 1


def _places(digits: Tensor, count: int) -> Tensor:
    """`count` digits of base three in one number, the first ones in the highest of five places."""
    worth = torch.tensor([81, 27, 9, 3, 1][:count], device=digits.device)
    return (digits.view(len(digits), count, -1) * worth[:, None]).sum(1)


def _reciprocal(d: Tensor) -> Tensor:
    return torch.where(d == 0, torch.zeros_like(d), 1 / d)


def _away_from_zero(x: Tensor) -> Tensor:
    """Rounded to the nearest integer, halves away from zero."""
    whole = x.abs().floor()
    return x.sign() * (whole + (2 * (x.abs() - whole)).floor())


def _half(x: Tensor) -> Tensor:
    return x.half().view(torch.uint8)


def _nibbles(q: Tensor) -> Tensor:
    low, high = q.chunk(2, dim=1)
    return low | (high << 4)


def _fifth_bits(q: Tensor) -> Tensor:
    bits = (q >> 4).view(len(q), 4, 8) << torch.arange(8, dtype=torch.uint8, device=q.device)
    return bits.sum(-1, dtype=torch.uint8)


PACKERS: Mapping[GgmlType, Callable[[Tensor], Tensor]] = {
    GgmlType.Q4_0: _q4_0,
    GgmlType.Q4_1: _q4_1,
    GgmlType.Q5_0: _q5_0,
    GgmlType.Q5_1: _q5_1,
    GgmlType.Q8_0: _q8_0,
    GgmlType.TQ1_0: _tq1_0,
    GgmlType.TQ2_0: _tq2_0,
    GgmlType.MXFP4: _mxfp4,
}
