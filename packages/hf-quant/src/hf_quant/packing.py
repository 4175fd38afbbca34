"""Small unsigned integers in larger ones: streams of bits, least significant first, along the last dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from hf_quant.errors import PackingError

WORD = 32
_BYTE = 8


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` values of `bits` bits in each row of integers `[..., W]`: uint8 `[..., count]`.

    Values follow each other without gaps, across the borders of words too; words are little-endian.
    """
    stream = _dense(packed).view(torch.uint8)
    have = stream.shape[-1] * _BYTE // bits
    if have < count:
        raise PackingError(
            f"{packed.shape[-1]} words of {packed.dtype.itemsize * _BYTE} bits hold {have} values of {bits} bits; "
            f"{count} are needed"
        )
    if bits == _BYTE:
        values = stream
    elif _BYTE % bits == 0:
        mask, shifts = (1 << bits) - 1, range(0, _BYTE, bits)
        values = torch.stack([(stream >> s) & mask for s in shifts], -1).flatten(-2)
    else:
        values = _unpack_eights(stream, bits)
    return values[..., :count]


def pack_bits(values: Tensor, bits: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """Values below 2^bits as a stream in integers of `dtype`; the rest of the last word is zero."""
    stream = values.to(torch.uint8)
    per_word = dtype.itemsize * _BYTE
    length = -(-stream.shape[-1] * bits // per_word) * dtype.itemsize  # bytes of whole words
    if bits == _BYTE:
        packed = stream
    elif _BYTE % bits == 0:
        per_byte = _BYTE // bits
        fields = torch.unflatten(_padded(stream, per_byte), -1, (-1, per_byte))
        packed = fields[..., 0].clone()
        for i in range(1, per_byte):
            packed |= fields[..., i] << (bits * i)
    else:
        packed = _pack_eights(stream, bits)
    packed = torch.nn.functional.pad(packed[..., :length], (0, max(0, length - packed.shape[-1])))
    return _dense(packed).view(dtype)


def unpack_fields(packed: Tensor, bits: int, count: int) -> Tensor:
    """As `unpack_bits`, for words that hold as many whole values as fit and leave their highest bits unused."""
    per_word = WORD // bits
    shifts = torch.arange(0, per_word * bits, bits, dtype=torch.int32, device=packed.device)
    values = (packed[..., None] >> shifts) & ((1 << bits) - 1)
    return values.flatten(-2)[..., :count].to(torch.uint8)


def pack_fields(values: Tensor, bits: int) -> Tensor:
    """As `pack_bits` into int32, with as many whole values in each word as fit."""
    per_word = WORD // bits
    fields = torch.unflatten(_padded(values, per_word), -1, (-1, per_word)).long()
    shifts = torch.arange(0, per_word * bits, bits, device=values.device)
    return (fields << shifts).sum(-1).to(torch.int32)


def words(count: int, bits: int) -> int:
    """How many 32-bit words hold `count` values of `bits` bits."""
    return -(-count * bits // WORD)


def _dense(tensor: Tensor) -> Tensor:
    """The tensor with the strides of its shape: seeing it as another element type asks for them, where a
    dimension of one may have any."""
    return tensor.clone(memory_format=torch.contiguous_format) if 1 in tensor.shape else tensor.contiguous()


def _padded(values: Tensor, multiple: int) -> Tensor:
    rest = -values.shape[-1] % multiple
    return torch.nn.functional.pad(values, (0, rest)) if rest else values


def _unpack_eights(stream: Tensor, bits: int) -> Tensor:
    """Eight values lie in `bits` bytes: read these as one number and cut it."""
    whole = torch.unflatten(stream[..., : stream.shape[-1] // bits * bits], -1, (-1, bits)).long()
    rest = stream.shape[-1] % bits
    if rest:
        tail = torch.nn.functional.pad(stream[..., -rest:], (0, bits - rest)).long()[..., None, :]
        whole = torch.cat((whole, tail), -2)
    number = whole[..., 0].clone()
    for i in range(1, bits):
        number |= whole[..., i] << (_BYTE * i)
    values = [((number >> (bits * i)) & ((1 << bits) - 1)).to(torch.uint8) for i in range(_BYTE)]
    return torch.stack(values, -1).flatten(-2)


def _pack_eights(values: Tensor, bits: int) -> Tensor:
    fields = torch.unflatten(_padded(values, _BYTE), -1, (-1, _BYTE)).long()
    number = fields[..., 0].clone()
    for i in range(1, _BYTE):
        number |= fields[..., i] << (bits * i)
    stream = [((number >> (_BYTE * i)) & 0xFF).to(torch.uint8) for i in range(bits)]
    return torch.stack(stream, -1).flatten(-2)
