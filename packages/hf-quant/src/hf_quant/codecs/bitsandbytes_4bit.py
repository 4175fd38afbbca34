"""bitsandbytes' 4-bit weights: NF4 or FP4 in blocks of 64, block scales plain or themselves in 8 bits.

Beside the codes lie the table of their values and, as JSON in bytes, a description with the weight's shape.
The numbers are in `hf_quant.formats.blockwise4`, which gives the bits that the library gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats import blockwise4 as b4
from hf_quant.kernels import bitsandbytes_cpu, cuda
from hf_quant.linear import Kernel

_STATE_BYTES = (
    256  # longer than the description of any matrix, so that its length is known before its numbers
)

STORAGE_DTYPES = (
    torch.uint8,
    torch.int8,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)


class _State(TypedDict, total=False):
    quant_type: str
    blocksize: int
    dtype: str
    shape: list[int]
    nested_blocksize: int
    nested_dtype: str
    nested_offset: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BitsAndBytes4Bit:
    """NF4 or FP4. `double` packs block scales too; `storage` is the dtype that the bytes are kept under.

    `state_bytes` is the length of the description; it ends in spaces where it is shorter. `scales_across` is what
    some versions of the peer save from a machine with bfloat16 instructions: block scales (K / 64, N) in bfloat16.
    """

    quant_type: b4.QuantType = "nf4"
    double: bool = False
    storage: torch.dtype = torch.uint8
    state_bytes: int = _STATE_BYTES
    scales_across: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        plain = (
            Part("weight", "weight"),
            Part("absmax", "weight.absmax"),
            Part("quant_map", "weight.quant_map"),
            Part("quant_state", f"weight.quant_state.bitsandbytes__{self.quant_type}"),
        )
        nested = (
            Part("nested_absmax", "weight.nested_absmax"),
            Part("nested_quant_map", "weight.nested_quant_map"),
        )
        return plain + nested if self.double else plain

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        state = _state(stored["quant_state"].read())
        shape = tuple(state["shape"])
        held = stored["weight"]
        if torch.Size(held.shape).numel() * held.dtype.itemsize < -(-torch.Size(shape).numel() // 2):
            raise PackingError(
                f"{list(held.shape)} elements of {held.dtype} are too few for 4-bit weights of shape {list(shape)}",
                fix="fetch the checkpoint again",
            )
        return shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        n = torch.Size(shape[-2:]).numel()
        blocks = -(-n // b4.BLOCK)
        lead = shape[:-2]
        if lead and n % b4.BLOCK:
            raise PackingError(f"stacked weights of {n} elements each do not fill blocks of {b4.BLOCK}")
        size = self.storage.itemsize
        absmax = Spec((*lead, blocks), torch.uint8 if self.double else torch.float32)
        if self.scales_across:
            absmax = Spec((shape[-1] // b4.BLOCK, shape[-2]), torch.bfloat16)
        made = {
            "weight": Spec((*lead, -(-n // (2 * size)), 1), self.storage),
            "absmax": absmax,
            "quant_map": Spec((*lead, 16), torch.float32),
            "quant_state": Spec((*lead, self.state_bytes), torch.uint8),
        }
        if self.double:
            if lead:
                raise PackingError(
                    "double quantization packs the scales of whole matrices, not of stacked ones"
                )
            made["nested_absmax"] = Spec((-(-blocks // b4.NESTED_BLOCK),), torch.float32)
            made["nested_quant_map"] = Spec((256,), torch.float32)
        return made

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        per_word = 2 * self.storage.itemsize
        K = shape[-1]
        if self.double or self.scales_across or K % b4.BLOCK:
            return None  # scales of scales, or blocks, that several rows share
        return {"weight": Rows(-2, each=K // per_word), "absmax": Rows(-1, each=K // b4.BLOCK)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        levels = parts["quant_map"].view(-1, 16)[0].float()
        return b4.dequantize(parts["weight"], scales(parts, across=self.scales_across), levels, shape, dtype)

    def kernel(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Kernel | None:
        """The library's product where it is installed and wins: few rows in bfloat16, on a CPU that has it.

        On CUDA our own.
        """
        N, K = shape
        if K % b4.BLOCK:
            return None
        if parts["weight"].is_cuda:
            codes = parts["weight"].contiguous().view(torch.uint8).view(N, K // 2)
            blocks = scales(parts, across=self.scales_across).view(N, K // b4.BLOCK)
            return cuda.four_bit_product(codes, blocks, parts["quant_map"], dtype, low_first=False)
        fits = dtype == torch.bfloat16 and N % bitsandbytes_cpu.OUTPUTS == 0
        if not fits or parts["weight"].device.type != "cpu" or not bitsandbytes_cpu.is_here():
            return None
        return bitsandbytes_cpu.FourBitProduct(
            parts["weight"], scales(parts, across=self.scales_across), parts["quant_map"].float(), (N, K)
        )

    def restated(self, parts: Parts, shape: Shape) -> Mapping[str, Tensor]:
        old = parts["quant_state"]
        if old.is_meta:
            return {"quant_state": old.new_empty(*shape[:-2], self.state_bytes)}
        state = _state(old.view(-1, self.state_bytes)[0])
        state["shape"] = list(shape[-2:])
        return {"quant_state": _written(state, self.state_bytes).expand(*shape[:-2], -1).contiguous()}

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.specs(tuple(weight.shape))
        packed, absmax = b4.quantize(weight, self.quant_type)
        state: _State = {
            "quant_type": self.quant_type,
            "blocksize": b4.BLOCK,
            "dtype": str(weight.dtype).removeprefix("torch."),
            "shape": list(weight.shape[-2:]),
        }
        made = {"quant_map": b4.level_values(self.quant_type).to(weight.device, copy=True)}
        if self.double:
            absmax, made["nested_absmax"], offset = b4.quantize_scales(absmax)
            made["nested_quant_map"] = b4.nested_levels().to(weight.device, copy=True)
            state |= {"nested_blocksize": b4.NESTED_BLOCK, "nested_dtype": "float32", "nested_offset": offset}
        short = -len(packed) % self.storage.itemsize
        packed = torch.nn.functional.pad(packed.view(-1), (0, short))
        made["weight"] = packed.view(self.storage).view(specs["weight"].shape)
        made["absmax"] = absmax.view(specs["absmax"].shape)
        made["quant_state"] = _written(state, self.state_bytes).to(weight.device)
        return {name: value.expand(specs[name].shape).contiguous() for name, value in made.items()}


def scales(parts: Parts, *, across: bool = False) -> Tensor:
    """The block scales, float32 in one line, unpacked if they are packed."""
    absmax = parts["absmax"]
    if "nested_absmax" in parts:
        offset = _state(parts["quant_state"])["nested_offset"]
        return b4.dequantize_scales(absmax, parts["nested_absmax"], parts["nested_quant_map"], offset)
    if across:
        absmax = absmax.T
    return absmax.reshape(-1).float()


def _state(stored: Tensor) -> _State:
    try:
        state = json.loads(bytes(stored.tolist()))
        shape, offset = state["shape"], state.get("nested_offset", 0.0)
        fits = all(type(size) is int and size > 0 for size in shape) and isinstance(offset, float | int)
        if not fits or state["blocksize"] != b4.BLOCK:
            raise ValueError(state)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackingError(
            "a description of 4-bit weights (weight.quant_state) is not the JSON that bitsandbytes writes, with "
            f"a shape and blocks of {b4.BLOCK}: {error}",
            fix="fetch the checkpoint again, or quantize with blocks of 64",
        ) from error
    known: _State = state
    return known


def _written(state: _State, length: int) -> Tensor:
    # Readers parse JSON, to which spaces at the end are nothing.
    text = json.dumps(state).encode().ljust(length)
    if len(text) > length:
        raise PackingError(
            f"a description of 4-bit weights takes {len(text)} bytes, and there are {length}",
            fix="load the checkpoint dequantized",
        )
    return torch.frombuffer(bytearray(text), dtype=torch.uint8)
