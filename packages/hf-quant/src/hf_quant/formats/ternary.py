"""Weights of -1, 0 and 1 with one scale, four to a byte, as BitNet's checkpoints store them.

Source: Ma et al., "The Era of 1-bit LLMs" (arXiv 2402.17764), whose absmean rule is `quantize`. The rows are cut
into four quarters; a byte's lowest two bits belong to the first quarter, each value with one added.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hf_quant.formats.checks import require_finite

SMALLEST = 1e-5  # below it a mean magnitude or a row's peak counts as this


def pack(ternary: Tensor) -> Tensor:
    """Values -1, 0, 1 (..., N, K) as uint8 (..., N / 4, K); N is a multiple of 4."""
    quarters = (ternary.to(torch.int8) + 1).view(torch.uint8).unflatten(-2, (4, -1))
    first, second, third, fourth = quarters.unbind(-3)
    packed: Tensor = first | (second << 2) | (third << 4) | (fourth << 6)
    return packed


def unpack(packed: Tensor) -> Tensor:
    """int8 values (..., 4 * rows, K) of packed ones."""
    fields = [((packed >> shift) & 3).view(torch.int8) - 1 for shift in (0, 2, 4, 6)]
    return torch.cat(fields, dim=-2)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest of -1, 0, 1 (int8) to weight * scale, and the scale: one over the mean magnitude, float32 ()."""
    mean = weight.float().abs().mean()
    require_finite(mean)
    scale = 1.0 / mean.clamp(min=SMALLEST)
    return (weight.float() * scale).round().clamp(-1, 1).to(torch.int8), scale


def quantize_activations(x: Tensor) -> tuple[Tensor, Tensor]:
    """Each row as int8 and the factor (..., 1) that brought its largest magnitude to 127."""
    factor = 127 / x.abs().amax(-1, keepdim=True).clamp(min=SMALLEST)
    return (x * factor).round().clamp(-128, 127).to(torch.int8), factor
