"""Choosing what calculates with a packed weight: torch's products with 4-bit and 8-bit numbers, where they win.

On a CPU with AVX-512, in bfloat16 and with one thread, one row through 2048 x 2048 weights took 0.12 ms in 4 bits
and 0.10 ms in 8, against 0.29 ms in plain bfloat16; 16 rows took 0.75 ms, dequantizing alone 10 ms. In float32 the
same operators are far slower than plain products, so that nothing is chosen there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from hf_modeling.packed.memory import Mapping, clean_mappings, release
from hf_quant.affine import Affine, Integers
from hf_quant.codec import Parts, Shape
from hf_quant.linear import Kernel, QuantLinear
from hf_quant.swap import Quantized

MOST_ROWS: Final = 128
"""With more rows than this, dequantizing once costs less than what these products lose for each row."""
GROUPS: Final = (32, 64, 128, 256)
OUTPUTS: Final = 16
"""What the 4-bit product divides outputs into."""


@runtime_checkable
class Accelerated(Protocol):
    """A codec that brings a kernel of its own."""

    def kernel(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Kernel | None:
        """A kernel for parts on their device; None where there is none that wins."""
        ...


def choose_kernels(layers: Iterable[Quantized]) -> None:
    """`choose_kernel` for each layer; pages of files that a kernel has a copy of go back to the system, each time.

    So memory holds all weights once, and few of them twice; reading a page brings neighbours back, which go at
    the end. What the process maps is asked for once, which takes longer than a small layer's kernel.
    """
    mappings: list[Mapping] | None = None
    copied: list[Tensor] = []
    for layer in layers:
        if _has_kernel(layer):
            mappings = clean_mappings() if mappings is None else mappings
            release(layer.parts().values(), mappings)
            copied += layer.parts().values()
    release(copied, mappings or [])


def _has_kernel(layer: Quantized) -> bool:
    choose_kernel(layer)
    return isinstance(layer, QuantLinear) and layer.kernel is not None


def choose_kernel(layer: Quantized) -> None:
    """Give a linear layer the fastest kernel for its format, its device and its element type.

    Without one it dequantizes for each call. `layer.kernel = None` goes back to that.
    """
    if not isinstance(layer, QuantLinear):
        return
    codec, parts = layer.codec, layer.parts()
    if any(part.is_meta for part in parts.values()):
        return
    if isinstance(codec, Accelerated):
        layer.kernel = codec.kernel(parts, layer.shape, layer.dtype)
    elif isinstance(codec, Affine) and layer.dtype == torch.bfloat16 and _is_cpu(parts):
        layer.kernel = _fitting(codec.integers(parts, layer.shape), codec.bits)


@final
class RowsTimesIntegers:
    """A product of few bfloat16 rows with integers, by one of torch's operators."""

    def __init__(self, name: str, run: Callable[[Tensor], Tensor], outputs: int) -> None:
        self.name, self._run, self._outputs = name, run, outputs

    def serves(self, x: Tensor) -> bool:
        return (
            x.dtype == torch.bfloat16
            and x.device.type == "cpu"
            and not (torch.is_grad_enabled() and x.requires_grad)
            and x.numel() <= MOST_ROWS * x.shape[-1]
        )

    def product(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        return self._run(rows).view(*x.shape[:-1], self._outputs)


def _fitting(integers: Integers, bits: int) -> Kernel | None:
    q_NK, G = integers.q_NK, integers.scale_NG.shape[-1]
    N, K = q_NK.shape
    if integers.input_K is not None or K % G or not _in_order(integers, K // G):
        return None
    if bits == 8 and G == 1:
        return _eight_bits(integers)
    if bits <= 4 and K // G in GROUPS and N % OUTPUTS == 0:
        return _four_bits(integers, K // G)
    return None


def _in_order(integers: Integers, group: int) -> bool:
    """Whether groups are neighbours, which a list of groups may say, too."""
    given = integers.group_K
    if given is None:
        return True
    return torch.equal(given.long(), torch.arange(given.shape[-1]) // group)


def _eight_bits(integers: Integers) -> Kernel | None:
    q, zero = integers.q_NK, integers.zero_NG
    if integers.shift_NG is not None:
        return None
    if zero is not None:
        if float(zero.min()) != float(zero.max()):
            return None
        signed = q.to(torch.int16) - int(zero.flatten()[0])
        if int(signed.min()) < -128 or int(signed.max()) > 127:
            return None
        q = signed.to(torch.int8)
    if q.dtype != torch.int8:
        return None
    q, scales = q.contiguous(), integers.scale_NG[:, 0].to(torch.bfloat16).contiguous()
    return RowsTimesIntegers(
        "torch's 8-bit product", lambda x: torch.ops.aten._weight_int8pack_mm(x, q, scales), q.shape[0]
    )


def _four_bits(integers: Integers, group: int) -> Kernel:
    """W = (q - 8) * scale + middle, which any zero or shift can be brought into."""
    scale = integers.scale_NG.float()
    q = integers.q_NK.to(torch.int32)
    lowest = -8 if integers.q_NK.dtype == torch.int8 else 0
    middle = scale * (8 + lowest)
    if integers.zero_NG is not None:
        middle = middle - scale * integers.zero_NG.float()
    if integers.shift_NG is not None:
        middle = middle + integers.shift_NG.float()
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu((q - lowest).contiguous(), 1)
    both = torch.stack((scale.mT, middle.mT), -1).to(torch.bfloat16).contiguous()
    return RowsTimesIntegers(
        "torch's 4-bit product",
        lambda x: torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, group, both),
        q.shape[0],
    )


def _is_cpu(parts: Parts) -> bool:
    return all(part.device.type == "cpu" for part in parts.values())
