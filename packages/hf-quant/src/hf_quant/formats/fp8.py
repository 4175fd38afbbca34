"""Eight-bit floats (E4M3) with scales for the tensor, for rows or for blocks.

Sources: Micikevicius et al., "FP8 formats for deep learning" (arXiv 2209.05433); blocks as in DeepSeek-V3's
report (arXiv 2412.19437, section 3.3). A weight is code * scale: files that call it `weight_scale_inv` mean the
scale that codes are multiplied by. Shapes: weights (..., N, K).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor

from hf_quant.formats.checks import require_finite

E4M3_MAX = 448.0

ScaleFormat = Literal["float", "ue8m0"]


def dequantize(weight: Tensor, scale: Tensor, block: tuple[int, int] | None, dtype: torch.dtype) -> Tensor:
    """code * scale in float32, as `dtype`. `scale` is (), (1,), (N, 1) or (ceil(N / bn), ceil(K / bk)), with
    the weight's leading dimensions before; or powers of two as bytes or float8_e8m0fnu."""
    return (decode(weight).mul_(expand(scale_values(scale), weight.shape, block))).to(dtype)


@cache
def _table(dtype: torch.dtype) -> Tensor:
    return torch.arange(256, dtype=torch.uint8, device="cpu").view(dtype).float()


def decode(codes: Tensor) -> Tensor:
    """8-bit floats as float32, a new tensor."""
    if codes.device.type != "cpu":
        return codes.float()
    # A gather is several times faster than torch's conversion on a CPU.
    flat = codes.contiguous().view(torch.uint8).view(-1).int()
    return _table(codes.dtype).index_select(0, flat).view(codes.shape)


def scale_values(scale: Tensor) -> Tensor:
    """Scales as float32: bytes are exponents with a bias of 127."""
    if scale.dtype in (torch.uint8, torch.float8_e8m0fnu):
        exponents = scale.contiguous().view(torch.uint8).double() - 127
        return torch.exp2(exponents).float()
    return scale.float()


def expand(scale: Tensor, shape: torch.Size, block: tuple[int, int] | None) -> Tensor:
    """The scale in a shape that broadcasts with weights of `shape`."""
    if block is None or scale.numel() == 1:
        return scale.reshape(()) if scale.numel() == 1 else scale
    rows, columns = block
    *_, N, K = shape
    return scale.repeat_interleave(rows, -2)[..., :N, :].repeat_interleave(columns, -1)[..., :K]


def grid(shape: tuple[int, ...], block: tuple[int, int]) -> tuple[int, ...]:
    """The shape of the scales of weights of `shape`, one for every block, started ones included."""
    return (*shape[:-2], -(-shape[-2] // block[0]), -(-shape[-1] // block[1]))


def quantize_tensor(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (N, K) and one scale (), the largest magnitude / 448; leading dimensions have a scale each."""
    scale = _scale(weight.float().abs().amax((-2, -1)), "float")
    require_finite(scale)
    return with_scale(weight, scale[..., None, None]), scale


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (..., N, K) and a scale for each row, (..., N, 1)."""
    scale = _scale(weight.float().abs().amax(-1, keepdim=True), "float")
    require_finite(scale)
    return with_scale(weight, scale), scale


def quantize_blocks(
    weight: Tensor, block: tuple[int, int], scale_format: ScaleFormat = "float"
) -> tuple[Tensor, Tensor]:
    """Codes (..., N, K) and a scale for each block; "ue8m0" rounds scales up to powers of two."""
    rows, columns = block
    *_, N, K = weight.shape
    padded = torch.nn.functional.pad(weight.float().abs(), (0, -K % columns, 0, -N % rows))
    tiles = padded.unflatten(-1, (-1, columns)).unflatten(-3, (-1, rows))
    scale = _scale(tiles.amax((-3, -1)), scale_format)
    require_finite(scale)
    return with_scale(weight, expand(scale, weight.shape, block)), scale


def multiply(
    codes: Tensor, scale: Tensor, weight: Tensor, weight_scale: Tensor, dtype: torch.dtype
) -> Tensor:
    """(codes * scale) @ (weight * weight_scale).T by torch's product of 8-bit floats, (M, K) and (N, K) to (M, N).

    Scales are one number, or one for each row.
    """
    a_scale, b_scale = scale.float().reshape(-1, 1), weight_scale.float().reshape(1, -1)
    if a_scale.numel() == b_scale.numel() == 1:
        a_scale, b_scale = a_scale.view(()), b_scale.view(())
    else:  # the product takes two numbers or two vectors
        a_scale = a_scale.expand(len(codes), 1).contiguous()
        b_scale = b_scale.expand(1, len(weight)).contiguous()
    return torch._scaled_mm(codes, weight.T, scale_a=a_scale, scale_b=b_scale, out_dtype=dtype)


def has_product(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether the weight's device multiplies 8-bit floats: NVIDIA's from Ada on, for sizes that divide by 16."""
    if not weight.is_cuda or dtype is not torch.bfloat16 or weight.shape[0] % 16 or weight.shape[1] % 16:
        return False
    return torch.cuda.get_device_capability(weight.device) >= (8, 9)


def quantize_activations(x: Tensor, *, upper_bound: float | None = None) -> tuple[Tensor, Tensor]:
    """Codes of each row of activations and the rows' scales (..., 1); `upper_bound` caps the magnitude counted."""
    peak = x.float().abs().amax(-1, keepdim=True)
    if upper_bound is not None:
        peak = peak.clamp(max=upper_bound)
    scale = _scale(peak, "float")
    return with_scale(x, scale), scale


def _scale(peak: Tensor, scale_format: ScaleFormat) -> Tensor:
    # Nothing but zeros: any scale will do that can be divided by.
    scale = torch.where(peak == 0, torch.ones_like(peak), peak / E4M3_MAX)
    return torch.exp2(torch.ceil(torch.log2(scale))) if scale_format == "ue8m0" else scale


def with_scale(x: Tensor, scale: Tensor) -> Tensor:
    """The nearest codes of x / scale; magnitudes over 448 become 448."""
    # torch turns what lies beyond the largest code into NaN.
    return (x.float() / scale.float()).clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
