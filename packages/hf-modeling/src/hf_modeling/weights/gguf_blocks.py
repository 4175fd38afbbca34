"""Packed GGUF blocks to numbers.

Layouts are those of ggml (https://github.com/ggml-org/ggml, `ggml-common.h` for the structs and
`ggml-quants.c` for what they mean). n blocks; a block holds 32 or 256 elements with common scales, which are
themselves packed in the types whose names end in K.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from hf_hub_io.gguf import GgmlType
from hf_modeling.weights import gguf_grids as grids

PLAIN: Mapping[GgmlType, torch.dtype] = {
    GgmlType.F64: torch.float64,
    GgmlType.F32: torch.float32,
    GgmlType.F16: torch.float16,
    GgmlType.BF16: torch.bfloat16,
}
"""Types whose elements lie one after the other, unpacked."""


def unpack(kind: GgmlType, packed: Tensor) -> Tensor:
    """The float32 elements, in one line, of whole blocks of bytes (uint8); `kind` is one of `UNPACKERS`."""
    return UNPACKERS[kind](packed.view(-1, kind.block_bytes)).flatten()


def _q4_0(block: Tensor) -> Tensor:
    d, qs = block.split((2, 16), dim=1)
    return _half(d) * (_fields(qs, 16, 4) - 8)


def _q4_1(block: Tensor) -> Tensor:
    d, m, qs = block.split((2, 2, 16), dim=1)
    return _half(d) * _fields(qs, 16, 4) + _half(m)


def _q5_0(block: Tensor) -> Tensor:
    d, qh, qs = block.split((2, 4, 16), dim=1)
    return _half(d) * (_fields(qs, 16, 4) + 16 * _fields(qh, 1, 1) - 16)


def _q5_1(block: Tensor) -> Tensor:
    d, m, qh, qs = block.split((2, 2, 4, 16), dim=1)
    return _half(d) * (_fields(qs, 16, 4) + 16 * _fields(qh, 1, 1)) + _half(m)


def _q8_0(block: Tensor) -> Tensor:
    d, qs = block.split((2, 32), dim=1)
    made: Tensor = _half(d) * qs.view(torch.int8)
    return made


def _q2_k(block: Tensor) -> Tensor:
    scales, qs, d, dmin = block.split((16, 64, 2, 2), dim=1)
    scale, least = _half(d) * (scales & 15), _half(dmin) * (scales >> 4)
    made: Tensor = scale[:, :, None] * _fields(qs, 32, 2).view(-1, 16, 16) - least[:, :, None]
    return made


def _q3_k(block: Tensor) -> Tensor:
    hmask, qs, scales, d = block.split((32, 64, 12, 2), dim=1)
    low, high = scales.split((8, 4), dim=1)
    scale = _half(d) * (_fields(low, 8, 4) + 16 * _fields(high, 4, 2) - 32)
    q = _fields(qs, 32, 2) + 4 * _fields(hmask, 32, 1) - 4
    return scale[:, :, None] * q.view(-1, 16, 16)


def _q4_k(block: Tensor) -> Tensor:
    d, dmin, scales, qs = block.split((2, 2, 12, 128), dim=1)
    scale, least = _scales_and_least(scales)
    q = _fields(qs, 32, 4).view(-1, 8, 32)
    return (_half(d) * scale)[:, :, None] * q - (_half(dmin) * least)[:, :, None]


def _q5_k(block: Tensor) -> Tensor:
    d, dmin, scales, qh, qs = block.split((2, 2, 12, 32, 128), dim=1)
    scale, least = _scales_and_least(scales)
    q = (_fields(qs, 32, 4) + 16 * _fields(qh, 32, 1)).view(-1, 8, 32)
    return (_half(d) * scale)[:, :, None] * q - (_half(dmin) * least)[:, :, None]


def _q6_k(block: Tensor) -> Tensor:
    ql, qh, scales, d = block.split((128, 64, 16, 2), dim=1)
    q = (_fields(ql, 64, 4) + 16 * _fields(qh, 32, 2) - 32).view(-1, 16, 16)
    made: Tensor = (_half(d) * scales.view(torch.int8))[:, :, None] * q
    return made


def _tq1_0(block: Tensor) -> Tensor:
    # Five ternary digits to a byte, as a fraction of 256: times 3^i, the digit i is what goes over.
    long, short, rest, d = block.split((32, 16, 4, 2), dim=1)
    digits = [_digits(long, 5), _digits(short, 5), _digits(rest, 4)]
    return _half(d) * (torch.cat(digits, dim=1) - 1)


def _tq2_0(block: Tensor) -> Tensor:
    qs, d = block.split((64, 2), dim=1)
    return _half(d) * (_fields(qs, 32, 2) - 1)


def _mxfp4(block: Tensor) -> Tensor:
    exponent, qs = block.split((1, 16), dim=1)
    # The levels are doubled, so the bias of 127 is one more.
    scale = torch.exp2(exponent.double() - 128).float()
    return scale * _doubled_levels(torch.cat((qs & 15, qs >> 4), dim=1))


def _nvfp4(block: Tensor) -> Tensor:
    scales, qs = block.split((4, 32), dim=1)
    # Scales have no sign, and no number where E4M3 has none.
    scale = (scales & 127).contiguous().view(torch.float8_e4m3fn).float().nan_to_num(0.0) * 0.5
    groups: Tensor = qs.unflatten(1, (4, 8))
    made: Tensor = scale[:, :, None] * _doubled_levels(torch.cat((groups & 15, groups >> 4), dim=2))
    return made


def _digits(packed: Tensor, count: int) -> Tensor:
    """First all digits of the highest place, then those of the next; int16 (n, count * bytes)."""
    places = torch.tensor([3**i for i in range(count)], dtype=torch.int16, device=packed.device)
    over = ((packed[:, None].short() * places[:, None]) & 255) * 3 >> 8
    made: Tensor = over.flatten(1)
    return made


def _doubled_levels(codes: Tensor) -> Tensor:
    """Twice the four-bit floats (E2M1) of these codes, float32."""
    positive = torch.tensor((0.0, 1, 2, 3, 4, 6, 8, 12), dtype=torch.float32, device=codes.device)
    return torch.cat((positive, -positive))[codes.long()]


def _half(pair: Tensor) -> Tensor:
    """The float16 in two bytes of each block, as float32 (n, 1)."""
    return pair.contiguous().view(torch.float16).float()


def _fields(packed: Tensor, group: int, width: int) -> Tensor:
    """Fields of `width` bits: of each `group` bytes first all lowest fields, then all next ones; int16 (n, fields)."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8)[:, None]
    fields = (packed.unflatten(1, (-1, 1, group)) >> shifts) & (2**width - 1)
    made: Tensor = fields.flatten(1).short()
    return made


def _scales_and_least(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Eight 6-bit scales and eight 6-bit minima out of 12 bytes, each (n, 8).

    Four bytes hold the first four scales, four the first four minima; their upper two bits belong to the last
    four, whose lower bits are the nibbles of the last four bytes.
    """
    scale, least, lower = packed.split((4, 4, 4), dim=1)
    scales = torch.cat((scale & 63, (lower & 15) | ((scale >> 2) & 48)), dim=1)
    minima = torch.cat((least & 63, (lower >> 4) | ((least >> 2) & 48)), dim=1)
    return scales, minima


UNPACKERS: Mapping[GgmlType, Callable[[Tensor], Tensor]] = {
    GgmlType.Q4_0: _q4_0,
    GgmlType.Q4_1: _q4_1,
    GgmlType.Q5_0: _q5_0,
    GgmlType.Q5_1: _q5_1,
    GgmlType.Q8_0: _q8_0,
    GgmlType.Q2_K: _q2_k,
    GgmlType.Q3_K: _q3_k,
    GgmlType.Q4_K: _q4_k,
    GgmlType.Q5_K: _q5_k,
    GgmlType.Q6_K: _q6_k,
    GgmlType.TQ1_0: _tq1_0,
    GgmlType.TQ2_0: _tq2_0,
    GgmlType.MXFP4: _mxfp4,
    GgmlType.NVFP4: _nvfp4,
    GgmlType.IQ1_S: grids.iq1_s,
    GgmlType.IQ1_M: grids.iq1_m,
    GgmlType.IQ2_XXS: grids.iq2_xxs,
    GgmlType.IQ2_XS: grids.iq2_xs,
    GgmlType.IQ2_S: grids.iq2_s,
    GgmlType.IQ3_XXS: grids.iq3_xxs,
    GgmlType.IQ3_S: grids.iq3_s,
    GgmlType.IQ4_NL: grids.iq4_nl,
    GgmlType.IQ4_XS: grids.iq4_xs,
}
