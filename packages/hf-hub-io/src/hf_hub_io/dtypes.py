"""Element types of stored tensors, by their safetensors names."""

from __future__ import annotations

from enum import StrEnum
from math import prod


class DType(StrEnum):
    """An element type as safetensors spells it. Members are in the order in which files are laid out."""

    BOOL = "BOOL"
    F4 = "F4"
    F6_E2M3 = "F6_E2M3"
    F6_E3M2 = "F6_E3M2"
    U8 = "U8"
    I8 = "I8"
    F8_E5M2 = "F8_E5M2"
    F8_E4M3 = "F8_E4M3"
    F8_E8M0 = "F8_E8M0"
    F8_E4M3FNUZ = "F8_E4M3FNUZ"
    F8_E5M2FNUZ = "F8_E5M2FNUZ"
    I16 = "I16"
    U16 = "U16"
    F16 = "F16"
    BF16 = "BF16"
    I32 = "I32"
    U32 = "U32"
    F32 = "F32"
    C64 = "C64"
    F64 = "F64"
    I64 = "I64"
    U64 = "U64"

    @property
    def bits(self) -> int:
        """Bits of one element; below 8 for packed types."""
        return _BITS[self]

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a tensor of this type; ValueError when packed elements do not fill whole bytes."""
        bits = prod(shape) * _BITS[self]
        if bits % 8:
            raise ValueError(f"{list(shape)} elements of {self.value} are {bits} bits, not whole bytes")
        return bits // 8


_BITS = {
    DType.BOOL: 8,
    DType.F4: 4,
    DType.F6_E2M3: 6,
    DType.F6_E3M2: 6,
    DType.U8: 8,
    DType.I8: 8,
    DType.F8_E5M2: 8,
    DType.F8_E4M3: 8,
    DType.F8_E8M0: 8,
    DType.F8_E4M3FNUZ: 8,
    DType.F8_E5M2FNUZ: 8,
    DType.I16: 16,
    DType.U16: 16,
    DType.F16: 16,
    DType.BF16: 16,
    DType.I32: 32,
    DType.U32: 32,
    DType.F32: 32,
    DType.C64: 64,
    DType.F64: 64,
    DType.I64: 64,
    DType.U64: 64,
}
