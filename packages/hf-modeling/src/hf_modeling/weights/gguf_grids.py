"""GGUF blocks whose numbers are looked up: points of a grid with signs apart (IQ1 to IQ3), or uneven levels (IQ4).

Layouts and tables are those of ggml (https://github.com/ggml-org/ggml, `ggml-common.h` and `ggml-quants.c`); the
grids' points are in the file `gguf_grids.bin`, which `_GRIDS` describes. n blocks of 256 elements unless noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

_TWO_BITS = (8, 25, 43)
_THREE_BITS = (4, 12, 20, 28, 36, 44, 52, 62)
_ODD = (1, 3, 5, 7, 9, 11, 13, 15)
_TERNARY = (-1, 0, 1)
_GRIDS: Mapping[str, tuple[int, int, tuple[int, ...]]] = {
    "IQ2_XXS": (256, 8, _TWO_BITS),
    "IQ2_XS": (512, 8, _TWO_BITS),
    "IQ2_S": (1024, 8, _TWO_BITS),
    "IQ3_XXS": (256, 4, _THREE_BITS),
    "IQ3_S": (512, 4, _ODD),
    "IQ1_S": (2048, 8, _TERNARY),
}
"""Points, numbers in a point, and the values that numbers have. The file has four bits for each number, one grid
after the other, the first of two numbers in the lower bits."""

_UNEVEN = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_SHIFT = 0.125  # by which IQ1's points are moved up or down


@cache
def _grids() -> Mapping[str, Tensor]:
    raw = files("hf_modeling.weights").joinpath("gguf_grids.bin").read_bytes()
    packed = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    numbers = torch.stack((packed & 15, packed >> 4), dim=1).flatten().long()
    found: dict[str, Tensor] = {}
    for name, (points, width, values) in _GRIDS.items():
        mine, numbers = numbers.split((points * width, len(numbers) - points * width))
        found[name] = torch.tensor(values, dtype=torch.float32, device="cpu")[mine].view(points, width)
    return found


def iq2_xxs(block: Tensor) -> Tensor:
    """d, then for each 32 elements four points and a word of four times seven signs and a scale."""
    d, rest = block.split((2, 64), dim=1)
    points, words = rest.unflatten(1, (8, 8)).split((4, 4), dim=2)
    word = _words(words)
    scale = _half(d) * (0.5 + (word >> 28).float()) * 0.25
    return _points("IQ2_XXS", points, 4) * _even_signs(_sevens(word)) * _each(scale)


def iq2_xs(block: Tensor) -> Tensor:
    """d, 32 times a point in nine bits and seven signs, and a 4-bit scale for each 16 elements."""
    d, rest, scales = block.split((2, 64, 8), dim=1)
    pairs = _shorts(rest)
    scale = _half(d) * (0.5 + _fields(scales, 4).float()) * 0.25
    signs: Tensor = _even_signs(pairs >> 9).unflatten(1, (16, 2))
    return _points("IQ2_XS", pairs & 511, 2) * signs * _each(scale)


def iq2_s(block: Tensor) -> Tensor:
    """As before with points in ten bits, of which two lie apart, and eight signs for each point."""
    d, low, signs, high, scales = block.split((2, 32, 32, 8, 8), dim=1)
    scale = _half(d) * (0.5 + _fields(scales, 4).float()) * 0.25
    points = low.long() | (_fields(high, 2) << 8)
    made: Tensor = _points("IQ2_S", points, 2) * _signs(signs).unflatten(1, (16, 2)) * _each(scale)
    return made


def iq3_xxs(block: Tensor) -> Tensor:
    """d, 64 points of four numbers, then for each 32 elements a word of signs and a scale."""
    d, points, words = block.split((2, 64, 32), dim=1)
    word = _words(words.unflatten(1, (8, 4)))
    scale = _half(d) * (0.5 + (word >> 28).float()) * 0.5
    return _points("IQ3_XXS", points, 4) * _even_signs(_sevens(word)) * _each(scale)


def iq3_s(block: Tensor) -> Tensor:
    """d, 64 points whose ninth bit lies apart, a sign for each element, a 4-bit scale for each 32."""
    d, low, high, signs, scales = block.split((2, 64, 8, 32, 4), dim=1)
    scale = _half(d) * (1 + 2 * _fields(scales, 4)).float()
    points = low.long() | (_fields(high, 1) << 8)
    made: Tensor = _points("IQ3_S", points, 4) * _signs(signs).unflatten(1, (8, 4)) * _each(scale)
    return made


def iq1_s(block: Tensor) -> Tensor:
    """d, the lower bits of 32 points, then for each 32 elements their upper bits, a scale and the shift's sign."""
    d, low, rest = block.split((2, 32, 16), dim=1)
    word = _shorts(rest)
    scale = _half(d) * (2 * ((word >> 12) & 7) + 1).float()
    shift = torch.where(word & 0x8000 == 0, _SHIFT, -_SHIFT)
    points = low.long() | (_threes(word).flatten(1) << 8)
    return (_points("IQ1_S", points, 4) + _each(shift)) * _each(scale)


def iq1_m(block: Tensor) -> Tensor:
    """The lower bits of 32 points; upper bits and the sign of a shift for each; 3-bit scales in four words, whose
    upper bits together are d."""
    low, rest, scales = block.split((32, 16, 8), dim=1)
    word = _shorts(scales)
    quarters = (word >> 12) << torch.tensor([0, 4, 8, 12], device=word.device)
    d = quarters.sum(1).to(torch.int16).view(torch.float16).float()[:, None]
    scale = d * (2 * _threes(word).flatten(1) + 1).float()
    high = _fields(rest, 4)
    shift = torch.where(high & 8 == 0, _SHIFT, -_SHIFT)
    points = _points("IQ1_S", low.long() | ((high & 7) << 8), 2)
    return (points + shift.view(-1, 16, 2, 1)) * _each(scale)


def iq4_nl(block: Tensor) -> Tensor:
    """32 elements: d, and 16 bytes whose lower halves come first."""
    d, packed = block.split((2, 16), dim=1)
    return _half(d) * _levels(torch.cat((packed & 15, packed >> 4), dim=1))


def iq4_xs(block: Tensor) -> Tensor:
    """d, 6-bit scales for each 32 elements whose upper bits come first, and the levels."""
    d, high, low, packed = block.split((2, 2, 4, 128), dim=1)
    upper = (_shorts(high) >> torch.arange(0, 16, 2, device=high.device)) & 3
    scale = _half(d) * ((_fields(low, 4) | (upper << 4)) - 32).float()
    groups = packed.unflatten(1, (8, 16))
    return _levels(torch.cat((groups & 15, groups >> 4), dim=2)) * scale[:, :, None]


def _points(grid: str, index: Tensor, group: int) -> Tensor:
    """Points by index (n, ...), in groups with a scale of their own: (n, groups, points, numbers)."""
    table = _grids()[grid].to(index.device)
    found = table.index_select(0, index.flatten().int()).view(index.shape[0], -1, table.shape[1])
    # Eight numbers have their signs in one byte, whether they are one point or two.
    return found.reshape(found.shape[0], -1, group, 8)


def _levels(index: Tensor) -> Tensor:
    table = torch.tensor(_UNEVEN, dtype=torch.float32, device=index.device)
    return table[index.long()]


def _each(scale: Tensor) -> Tensor:
    """A number for each group of points, (n, groups, 1, 1)."""
    return scale[:, :, None, None]


@cache
def _sign_table() -> Tensor:
    bits = (torch.arange(256, device="cpu")[:, None] >> torch.arange(8, device="cpu")) & 1
    return (1 - 2 * bits).float()


def _signs(packed: Tensor) -> Tensor:
    """1 or -1 for each bit of bytes (...,), the lowest first: float32 (..., 8)."""
    found = _sign_table().to(packed.device).index_select(0, packed.flatten().int())
    return found.view(*packed.shape, 8)


def _even_signs(sevens: Tensor) -> Tensor:
    """Signs of which seven are given: the eighth makes the number of minuses even."""
    folded = sevens ^ (sevens >> 4)
    folded = folded ^ (folded >> 2)
    return _signs(sevens | (((folded ^ (folded >> 1)) & 1) << 7))


def _sevens(word: Tensor) -> Tensor:
    return (word[..., None] >> torch.tensor([0, 7, 14, 21], device=word.device)) & 127


def _threes(word: Tensor) -> Tensor:
    return (word[..., None] >> torch.tensor([0, 3, 6, 9], device=word.device)) & 7


def _fields(packed: Tensor, width: int) -> Tensor:
    """Fields of `width` bits of each byte in turn, the lowest first: int64 (n, fields)."""
    shifts = torch.arange(0, 8, width, device=packed.device)
    made: Tensor = ((packed[..., None].long() >> shifts) & (2**width - 1)).flatten(1)
    return made


def _shorts(packed: Tensor) -> Tensor:
    return packed.contiguous().view(torch.int16).long() & 0xFFFF


def _words(packed: Tensor) -> Tensor:
    return packed.contiguous().view(torch.int32).squeeze(-1).long() & 0xFFFFFFFF


def _half(pair: Tensor) -> Tensor:
    return pair.contiguous().view(torch.float16).float()
