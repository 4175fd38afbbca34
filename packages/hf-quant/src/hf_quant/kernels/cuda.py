"""Which of this package's own kernels serves packed weights on a CUDA device."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from hf_quant.linear import Kernel


@cache
def has_triton() -> bool:
    """Whether triton is installed, as it is with torch for CUDA on Linux."""
    return find_spec("triton") is not None


def four_bit_product(
    packed: Tensor,
    scale: Tensor,
    levels: Tensor,
    dtype: torch.dtype,
    *,
    zero: Tensor | None = None,
    low_first: bool,
) -> Kernel | None:
    """A kernel for bytes (N, K / 2), scales and zeros (N, K / G) and 16 levels; None off CUDA, or in float32."""
    if not packed.is_cuda or dtype not in (torch.float16, torch.bfloat16) or not has_triton():
        return None
    from hf_quant.kernels.triton_4bit import TritonFourBitProduct

    return TritonFourBitProduct(packed, scale, levels, zero=zero, low_first=low_first)
