"""One triton kernel for all formats of four bits with scales for groups of inputs: y = x W^T, W never in memory.

W[n, k] = (levels[code[n, k]] - zero[n, k // G]) * scale[n, k // G]. Levels are NF4's, FP4's or E2M1's values; for
integers they are 0 to 15, with zeros. M rows, N outputs, K inputs, G inputs in a group.

Import this module only where triton is: `is_here`.
"""

from __future__ import annotations

from typing import Final, final

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_ROWS: Final = 64
"""With more rows than this, dequantizing once and a dense product cost less."""
_ROWS: Final = 16
_OUTPUTS: Final = 32
_BYTES: Final = 32


@triton.jit  # type: ignore[untyped-decorator] # triton is untyped
def _product(  # type: ignore[no-untyped-def] # its arguments are pointers and sizes in triton's own language
    x_ptr,
    packed_ptr,
    scale_ptr,
    zero_ptr,
    levels_ptr,
    y_ptr,
    M,
    N,
    K,
    GROUP: tl.constexpr,
    LOW_FIRST: tl.constexpr,
    HAS_ZERO: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BYTES: tl.constexpr,
):
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    n = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    m_in, n_in = m < M, n < N
    half, groups = K // 2, K // GROUP
    total = tl.zeros((ROWS, OUTPUTS), dtype=tl.float32)
    for start in range(0, half, BYTES):
        j = start + tl.arange(0, BYTES)
        j_in = j < half
        w_in = n_in[:, None] & j_in[None, :]
        byte = tl.load(packed_ptr + n[:, None] * half + j[None, :], mask=w_in, other=0).to(tl.int32)
        # Both codes of a byte belong to one group: groups have an even length.
        at = n[:, None] * groups + (2 * j // GROUP)[None, :]
        scale = tl.load(scale_ptr + at, mask=w_in, other=0.0)
        first = byte & 15 if LOW_FIRST else byte >> 4
        second = byte >> 4 if LOW_FIRST else byte & 15
        even = tl.load(levels_ptr + first)
        odd = tl.load(levels_ptr + second)
        if HAS_ZERO:
            zero = tl.load(zero_ptr + at, mask=w_in, other=0.0)
            even -= zero
            odd -= zero
        x_in = m_in[:, None] & j_in[None, :]
        x_even = tl.load(x_ptr + m[:, None] * K + 2 * j[None, :], mask=x_in, other=0.0)
        x_odd = tl.load(x_ptr + m[:, None] * K + 2 * j[None, :] + 1, mask=x_in, other=0.0)
        total += tl.dot(x_even, tl.trans((even * scale).to(x_even.dtype)), input_precision="ieee")
        total += tl.dot(x_odd, tl.trans((odd * scale).to(x_odd.dtype)), input_precision="ieee")
    y_in = m_in[:, None] & n_in[None, :]
    tl.store(y_ptr + m[:, None] * N + n[None, :], total.to(y_ptr.dtype.element_ty), mask=y_in)


def multiply(
    x: Tensor,
    packed: Tensor,
    scale: Tensor,
    levels: Tensor,
    *,
    zero: Tensor | None = None,
    low_first: bool,
) -> Tensor:
    """x (M, K) through packed weights: bytes (N, K / 2), float32 scales and zeros (N, K / G), levels (16,)."""
    (M, K), N = x.shape, packed.shape[0]
    y = torch.empty(M, N, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(M, _ROWS), triton.cdiv(N, _OUTPUTS))
    _product[grid](
        x,
        packed,
        scale,
        scale if zero is None else zero,
        levels,
        y,
        M,
        N,
        K,
        GROUP=K // scale.shape[1],
        LOW_FIRST=low_first,
        HAS_ZERO=zero is not None,
        ROWS=_ROWS,
        OUTPUTS=_OUTPUTS,
        BYTES=_BYTES,
    )
    return y


@final
class TritonFourBitProduct:
    """A product of few rows with 4-bit weights, on a CUDA device; arguments as `multiply` has them."""

    name = "4-bit triton kernel"

    def __init__(
        self, packed: Tensor, scale: Tensor, levels: Tensor, *, zero: Tensor | None = None, low_first: bool
    ) -> None:
        self._packed, self._scale = packed.contiguous(), scale.float().contiguous()
        self._zero = None if zero is None else zero.float().contiguous()
        self._levels, self._low_first = levels.to(packed.device, torch.float32), low_first

    def serves(self, x: Tensor) -> bool:
        return (
            x.device == self._packed.device
            and x.dtype in (torch.float16, torch.bfloat16)
            and not (torch.is_grad_enabled() and x.requires_grad)
            and x.numel() <= MOST_ROWS * x.shape[-1]
        )

    def product(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        y = multiply(
            rows, self._packed, self._scale, self._levels, zero=self._zero, low_first=self._low_first
        )
        return y.view(*x.shape[:-1], -1)
