"""Choosing what calculates with a packed weight."""

from __future__ import annotations

from hf_quant.swap import Quantized


def choose_kernel(layer: Quantized) -> None:
    """Give a layer the fastest kernel for its format, its device and its element type."""
