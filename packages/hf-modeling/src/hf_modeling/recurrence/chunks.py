"""Cutting a sequence into equal chunks, and the decays between the positions of one chunk.

Legend: B batch, H heads, T time, N chunks, C positions of a chunk, K key width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def into_chunks(x_BHTD: Tensor, chunk: int) -> Tensor:
    """(B, H, T, ...) as (B, H, N, chunk, ...), the last chunk filled up with zeros.

    Zeros are the neutral element of every recurrence here: no decay (log 1), no key, no value.
    """
    missing = -x_BHTD.shape[2] % chunk
    if missing:
        x_BHTD = F.pad(x_BHTD, (0, 0) * (x_BHTD.ndim - 3) + (0, missing))
    return x_BHTD.reshape(*x_BHTD.shape[:2], -1, chunk, *x_BHTD.shape[3:])


def from_chunks(x_BHNCD: Tensor, length: int) -> Tensor:
    """The inverse of `into_chunks` for a sequence of `length` positions."""
    return x_BHNCD.flatten(2, 3)[:, :, :length]


def decays_between(total_C: Tensor) -> Tensor:
    """exp(total_i - total_j) for j <= i, 0 above the diagonal: (..., C) -> (..., C, C).

    `total` is the running sum of log decays over the last dimension.
    Masked before the exponential, so no positive exponent is ever raised.
    """
    size = total_C.shape[-1]
    later = torch.ones(size, size, dtype=torch.bool, device=total_C.device).triu(1)
    difference_CC = total_C.unsqueeze(-1) - total_C.unsqueeze(-2)
    return difference_CC.masked_fill(later, float("-inf")).exp()
