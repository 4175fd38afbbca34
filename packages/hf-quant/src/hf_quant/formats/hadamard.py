"""Products with Hadamard matrices, by which HIGGS and FP-Quant spread outliers over a group.

The matrix is Sylvester's: H(1) = 1, H(2n) = [[H(n), H(n)], [H(n), -H(n)]], divided by the root of its size, which
makes it its own inverse.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor


def matrix(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The orthogonal matrix, (size, size); size is a power of two."""
    made = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    while len(made) < size:
        made = torch.cat((torch.cat((made, made), 1), torch.cat((made, -made), 1)))
    return (made / sqrt(size)).to(dtype)


def by_sign_changes(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same columns in the order of how often their sign changes."""
    made = matrix(size, torch.float64)
    changes = made.sign().diff(dim=0).ne(0).sum(dim=0)
    return made[:, changes.argsort()].to(dtype).contiguous()


def rotate(x: Tensor, size: int) -> Tensor:
    """Each group of `size` along the last dimension times the matrix, in float32, by log2(size) passes."""
    made = x.float().unflatten(-1, (-1, size))
    half = 1
    while half < size:
        pairs = made.unflatten(-1, (-1, 2, half))
        first, second = pairs.unbind(-2)
        made = torch.stack((first + second, first - second), dim=-2).flatten(-3)
        half *= 2
    rotated: Tensor = (made / sqrt(size)).flatten(-2)
    return rotated
