"""Four-bit floats of two exponent bits and one mantissa bit, in blocks: MXFP4 and NVFP4.

Sources: OCP Microscaling Formats (MX) specification 1.0, sections 5.3 (E2M1), 5.4 (E8M0) and 6.3 (conversion);
NVIDIA's NVFP4 has E4M3 scales for blocks of 16 and one float32 for the tensor. Two codes to a byte, the first
in the lower four bits. Shapes: weights (..., N, K), packed (..., N, K / 2), scales (..., N, K / block).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from hf_quant.formats.checks import require_finite
from hf_quant.formats.chunks import in_chunks
from hf_quant.formats.fp8 import E4M3_MAX
from hf_quant.formats.levels import Nearest, byte_pairs

MX_BLOCK = 32
NV_BLOCK = 16
MAX = 6.0
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_BIAS = 127


@cache
def levels() -> Tensor:
    """The value of each code, float32 (16,): the upper bit is the sign."""
    positive = torch.tensor(MAGNITUDES, dtype=torch.float32, device="cpu")
    return torch.cat((positive, -positive))


@cache
def e8m0_values() -> Tensor:
    """2^(byte - 127) for each byte, float32 (256,); 255 is NaN."""
    exponents = torch.arange(256, dtype=torch.float64, device="cpu") - _BIAS
    values = torch.exp2(exponents).float()
    values[255] = torch.nan
    return values


@cache
def _nearest_magnitude() -> Nearest:
    # Ties go to the even code: upwards where the lower one is odd, so there the threshold itself counts as above.
    values = torch.tensor(MAGNITUDES, dtype=torch.float32, device="cpu")
    middle = (values[1:] + values[:-1]) / 2
    upwards = torch.arange(7, device="cpu") % 2 == 1
    below = torch.nextafter(middle, torch.zeros_like(middle))
    return Nearest.of_thresholds(
        torch.where(upwards, below, middle), torch.arange(8, dtype=torch.uint8, device="cpu")
    )


def unpack(packed: Tensor) -> Tensor:
    """The numbers of packed codes (uint8, or int8 of the same bits): (..., K / 2) to (..., K) float32."""
    pairs = byte_pairs(levels(), low_first=True).to(packed.device)
    flat = packed.contiguous().view(torch.uint8).view(-1).int()
    return pairs.index_select(0, flat).view(torch.float32).view(*packed.shape[:-1], 2 * packed.shape[-1])


def pack(x: Tensor) -> Tensor:
    """The nearest codes of finite numbers, two to a byte: (..., K) to uint8 (..., K / 2); 6 is the most."""
    flat = x.float().reshape(-1)
    packed = torch.empty(len(flat) // 2, dtype=torch.uint8, device=x.device)
    nearest = _nearest_magnitude()

    def run(start: int, stop: int) -> None:
        chunk = flat[start:stop]
        code = nearest.code(chunk.abs()) | (torch.signbit(chunk).view(torch.uint8) << 3)
        pair = code.view(-1, 2)
        packed[start // 2 : stop // 2] = pair[:, 0] | (pair[:, 1] << 4)

    in_chunks(len(flat), run)
    return packed.view(*x.shape[:-1], x.shape[-1] // 2)


def e8m0_scales(scales: Tensor) -> Tensor:
    """Powers of two as float32, from bytes or from torch's float8_e8m0fnu."""
    table = e8m0_values().to(scales.device)
    return table[scales.contiguous().view(torch.uint8).int()]


def dequantize_mx(packed: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """MXFP4 numbers: code * 2^(scale - 127), (..., N, K)."""
    return _scaled(unpack(packed), e8m0_scales(scales), dtype)


def quantize_mx(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Packed codes and power-of-two scales (uint8): the largest power not above the block's largest, over 4.

    A magnitude that would need more than 6 becomes 6, as the specification's section 6.3 has it.
    """
    blocks = weight.float().unflatten(-1, (-1, MX_BLOCK))
    # amax = m * 2^e with m in [0.5, 1), so floor(log2(amax)) is e - 1; 2 is the exponent of the largest code.
    peak = blocks.abs().amax(-1)
    require_finite(peak)
    _, exponent = torch.frexp(peak)
    scales = (exponent - 3 + _BIAS).clamp(0, 254).to(torch.uint8)
    codes = pack((blocks / e8m0_scales(scales)[..., None]).flatten(-2))
    return codes, scales


def dequantize_nv(packed: Tensor, scales: Tensor, tensor_scale: Tensor, dtype: torch.dtype) -> Tensor:
    """NVFP4 numbers: code * block scale * tensor scale, (..., N, K); the last broadcasts over leading dims."""
    return _scaled(unpack(packed), scales.float() * tensor_scale.float(), dtype)


def quantize_nv(weight: Tensor, tensor_scale: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Packed codes, E4M3 block scales, and the tensor's scale: largest magnitude / (6 * 448), float32 ().

    With `tensor_scale` given that one is used, as for matrices that one kernel multiplies together.
    """
    blocks = weight.float().unflatten(-1, (-1, NV_BLOCK))
    peak = blocks.abs().amax(-1)
    require_finite(peak)
    if tensor_scale is None:
        tensor_scale = peak.max() / (MAX * E4M3_MAX)
        # A tensor of zeros needs some scale that can be divided by.
        tensor_scale = torch.where(tensor_scale > 0, tensor_scale, torch.ones_like(tensor_scale))
    scales = (peak / MAX / tensor_scale).clamp(max=E4M3_MAX).to(torch.float8_e4m3fn)
    divisor = scales.float() * tensor_scale
    codes = pack((blocks / torch.where(divisor > 0, divisor, torch.inf)[..., None]).flatten(-2))
    return codes, scales, tensor_scale


def _scaled(values: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    block = values.shape[-1] // scales.shape[-1]
    made: Tensor = (values.unflatten(-1, (-1, block)) * scales[..., None]).to(dtype).flatten(-2)
    return made
