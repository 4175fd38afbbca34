"""Quanto: 8-bit numbers with a scale for each output, or 4 and 2 bits with a scale and a shift for each group.

8 bits: W = data * scale. Fewer: W = q * scale - shift in groups of neighbours, rows of W.reshape(-1, G); bytes
hold rows of that matrix that lie far apart, the first part of the rows in the lowest bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats.checks import require_finite

GROUP, LEAST_GROUP = 128, 32
FLOAT8_MAX: Final = 448.0
SCALES = (
    Part("input_scale", "input_scale", required=False),
    Part("output_scale", "output_scale", required=False),
)
"""Scales of activations, which are one where only weights are rounded."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QuantoBytes:
    """Eight bits: int8, or 8-bit floats (E4M3). `scales` is the element type that scales are made in."""

    kind: Literal["int8", "float8"] = "int8"
    scales: torch.dtype = torch.float32

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part("data", "weight._data"), Part("scale", "weight._scale"), *SCALES)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return stored["data"].shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        dtype = torch.int8 if self.kind == "int8" else torch.float8_e4m3fn
        scales = Spec((*shape[:-1], 1) if shape[-2] > 1 else shape[:-2], self.scales)
        return {"data": Spec(shape, dtype), "scale": scales, **_activation_specs(shape, self.scales)}

    def rows(self, shape: Shape) -> Mapping[str, Rows]:
        return {"data": Rows(-2), "scale": Rows(-2)} if shape[-2] > 1 else {"data": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        wide = torch.promote_types(dtype, torch.float32)
        scale = parts["scale"].to(wide)
        return (
            parts["data"]
            .to(wide)
            .mul_(scale if scale.ndim == len(shape) else scale[..., None, None])
            .to(dtype)
        )

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        exact = weight.float()
        require_finite(exact.abs().amax())
        top = 127.0 if self.kind == "int8" else FLOAT8_MAX
        scale = (exact.abs().amax(-1, keepdim=True) / top).clamp_(min=torch.finfo(torch.float32).tiny)
        if self.kind == "int8":
            data = (exact / scale).round_().clamp_(-128, 127).to(torch.int8)
        else:
            data = (exact / scale).clamp_(-top, top).to(torch.float8_e4m3fn)
        scale = scale.to(self.scales).view(self.specs(tuple(weight.shape))["scale"].shape)
        return {"data": data, "scale": scale, **_ones(weight, self.scales)}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QuantoBits:
    """Four or two bits, unsigned.

    inputs: K, which the tensors alone do not tell.
    scales: the element type that scales and shifts are made in.
    """

    inputs: int
    bits: Literal[2, 4] = 4
    scales: torch.dtype = torch.float32

    @property
    def parts(self) -> tuple[Part, ...]:
        return (
            Part("data", "weight._data._data"),
            Part("scale", "weight._scale"),
            Part("shift", "weight._shift"),
            *SCALES,
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, groups, _ = stored["scale"].shape
        numbers, K = groups * group_size(self.inputs), self.inputs
        if numbers % K:
            raise PackingError(f"{groups} groups of {group_size(K)} numbers do not make rows of {K}")
        return (*lead, numbers // K, K)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        size = group_size(K)
        rows, per_byte = N * K // size, 8 // self.bits
        scales = Spec((*lead, rows, 1), self.scales)
        return {
            "data": Spec((*lead, -(-rows // per_byte), size), torch.uint8),
            "scale": scales,
            "shift": scales,
            **_activation_specs(shape, self.scales),
        }

    def rows(self, shape: Shape) -> None:
        return None  # a byte holds numbers of rows that lie far apart

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        scale, shift = parts["scale"], parts["shift"]
        mask = (1 << self.bits) - 1
        q = torch.cat([(parts["data"] >> s) & mask for s in range(0, 8, self.bits)], -2)
        wide = torch.promote_types(dtype, torch.float32)
        values = q[..., : scale.shape[-2], :].to(wide).mul_(scale.to(wide)).sub_(shift.to(wide))
        return values.reshape(shape).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        *lead, N, K = weight.shape
        size, top = group_size(K), 2**self.bits - 1
        grouped = weight.to(self.scales).reshape(*lead, N * K // size, size)
        low, high = grouped.amin(-1, keepdim=True), grouped.amax(-1, keepdim=True)
        require_finite(high - low)
        scale = ((high - low) / top).clamp_(min=torch.finfo(self.scales).tiny)
        q = ((grouped - low) / scale).round_().clamp_(0, top).to(torch.uint8)
        per_byte = 8 // self.bits
        if rest := -q.shape[-2] % per_byte:
            q = torch.cat((q, q.new_zeros(*lead, rest, size)), -2)
        data = torch.zeros_like(q.chunk(per_byte, -2)[0])
        for i, rows in enumerate(q.chunk(per_byte, -2)):
            data |= rows << (self.bits * i)
        return {"data": data, "scale": scale, "shift": -low, **_ones(weight, self.scales)}


def group_size(K: int) -> int:
    """Numbers per scale in rows of K: 128, or the next lower multiple of 32 that divides K, or the whole row."""
    if K <= GROUP:
        return K
    size = next((s for s in range(GROUP, LEAST_GROUP - 1, -LEAST_GROUP) if K % s == 0), 0)
    return size or K


def _activation_specs(shape: Shape, dtype: torch.dtype) -> dict[str, Spec]:
    return {part.name: Spec(shape[:-2], dtype) for part in SCALES}


def _ones(weight: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    return {part.name: weight.new_ones(weight.shape[:-2], dtype=dtype) for part in SCALES}
