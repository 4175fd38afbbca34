"""Four bits in blocks of 64 with one scale each, as bitsandbytes stores them: NF4 and FP4.

Sources: Dettmers et al., "QLoRA" (arXiv 2305.14314) for NF4 and double quantization; the layout is that of
https://github.com/bitsandbytes-foundation/bitsandbytes: weights row by row in one line, two to a byte, the
first in the upper four bits; a block's scale is the largest magnitude in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from hf_quant.formats.checks import require_finite
from hf_quant.formats.chunks import in_chunks
from hf_quant.formats.levels import Nearest, byte_pairs

QuantType = Literal["nf4", "fp4"]

BLOCK = 64
NESTED_BLOCK = 256

LEVELS: Mapping[QuantType, tuple[float, ...]] = {
    # Quantiles of a normal distribution, scaled to reach -1 and 1, with 0 among them.
    "nf4": (
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ),
    # Sign, two bits of exponent, one of mantissa, over 12: the sign is the upper bit.
    "fp4": tuple(
        sign * value
        for sign in (1.0, -1.0)
        for value in (0.0, 0.0625 / 12, 8 / 12, 12 / 12, 4 / 12, 6 / 12, 2 / 12, 3 / 12)
    ),
}


@cache
def level_values(quant_type: QuantType) -> Tensor:
    """The 16 values of the codes, float32."""
    return torch.tensor([value + 0.0 for value in LEVELS[quant_type]], dtype=torch.float32, device="cpu")


@cache
def nested_levels() -> Tensor:
    """The 256 rising values for scales of scales: seven decades with twice as many values in each, float32."""
    decades = []
    for i in range(7):
        edges = torch.linspace(0.1, 1, 2**i + 1, dtype=torch.float32, device="cpu")
        decades.append((edges[1:] + edges[:-1]) / 2 * 10 ** (i - 6))
    positive = torch.cat(decades)
    return torch.cat((positive, -positive, positive.new_tensor([0.0, 1.0]))).sort().values


@cache
def _nearest(quant_type: QuantType) -> Nearest:
    return Nearest.of_levels(level_values(quant_type))


def quantize(weight: Tensor, quant_type: QuantType) -> tuple[Tensor, Tensor]:
    """Packed codes uint8 (ceil(n / 2), 1) and block scales float32 (ceil(n / 64),) of a tensor of n elements.

    Elements are scaled in float32 by the reciprocal of the block's largest magnitude and rounded to the
    nearest level; a last block or byte that is not full is filled with zeros. Raises NonFiniteError.
    """
    flat = weight.reshape(-1)
    packed = torch.empty(-(-len(flat) // 2), dtype=torch.uint8, device=flat.device)
    absmax = torch.empty(-(-len(flat) // BLOCK), dtype=torch.float32, device=flat.device)
    nearest = _nearest(quant_type)

    def run(start: int, stop: int) -> None:
        chunk = flat[start:stop]
        if len(chunk) % BLOCK:
            chunk = torch.nn.functional.pad(chunk, (0, -len(chunk) % BLOCK))
        blocks = chunk.view(-1, BLOCK)
        scale = blocks.abs().amax(1).float()
        require_finite(scale)
        absmax[start // BLOCK : -(-stop // BLOCK)] = scale
        # A block of zeros stays zeros instead of becoming 0 * infinity.
        reciprocal = torch.where(scale > 0, 1 / scale, 0)
        pair = nearest.code((blocks.float() * reciprocal[:, None]).view(-1)).view(-1, 2)
        packed[start // 2 : (stop + 1) // 2] = ((pair[:, 0] << 4) | pair[:, 1])[: (stop - start + 1) // 2]

    in_chunks(len(flat), run)
    return packed[:, None], absmax


def dequantize(
    packed: Tensor, absmax: Tensor, levels: Tensor, shape: tuple[int, ...], dtype: torch.dtype
) -> Tensor:
    """level[code] * scale in float32, as `dtype` and in `shape`; `packed` may be bytes under any dtype."""
    data = packed.contiguous().view(torch.uint8).reshape(-1)
    made = torch.empty(torch.Size(shape).numel(), dtype=dtype, device=data.device)
    pairs = byte_pairs(levels, low_first=False)

    def run(start: int, stop: int) -> None:
        blocks = absmax[start // BLOCK : -(-stop // BLOCK)].float()
        values = pairs.index_select(0, data[start // 2 : (stop + 1) // 2].int()).view(torch.float32)
        if len(values) % BLOCK:
            values = torch.nn.functional.pad(values, (0, -len(values) % BLOCK))
        made[start:stop] = (values.view(-1, BLOCK) * blocks[:, None]).view(-1)[: stop - start]

    in_chunks(len(made), run)
    return made.view(shape)


def quantize_scales(absmax: Tensor) -> tuple[Tensor, Tensor, float]:
    """Block scales as uint8 (n,), their scales float32 (ceil(n / 256),), and the mean that was taken off first."""
    offset = float(absmax.mean())
    centred = absmax - offset
    rows = torch.nn.functional.pad(centred, (0, -len(centred) % NESTED_BLOCK)).view(-1, NESTED_BLOCK)
    scale = rows.abs().amax(1)
    scaled = rows * torch.where(scale > 0, 1 / scale, 0)[:, None]
    levels = nested_levels().to(absmax.device)
    codes = torch.bucketize(scaled.flatten(), (levels[1:] + levels[:-1]) / 2)[: len(absmax)]
    return codes.to(torch.uint8), scale, offset


def dequantize_scales(codes: Tensor, scale: Tensor, levels: Tensor, offset: float) -> Tensor:
    """Block scales float32: level[code] * scale + offset."""
    blocks = scale.repeat_interleave(NESTED_BLOCK)[: len(codes)]
    return levels[codes.long()] * blocks + offset
