"""Eight-bit floats: one scale for the weight, for each row (FBGEMM), or for each block (DeepSeek, Qwen).

Numbers are in `hf_quant.formats.fp8`. Activations are rounded, too, where the device multiplies 8-bit floats and the
method asks for it: with a scale for each row as they come ("dynamic"), or one that the checkpoint brings ("static").
Elsewhere that would cost time and precision for nothing, and they stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import PackingError
from hf_quant.formats import e2m1, fp8
from hf_quant.straight import straight_through

Activations = Literal["none", "dynamic", "static"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fp8Row:
    """A scale for each output. `upper_bound` caps the magnitude that scales of activations count with.

    `transposed` experts are stored from input to output: (E, K, N), scales (E, 1, N).
    """

    activations: Activations = "dynamic"
    upper_bound: float | None = None
    transposed: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        scale = Part("weight_scale", "weight_scale", stacked="_scale")
        return (Part("weight", "weight", stacked=""), scale, *_input_scale(self.activations))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        shape = _float8(stored["weight"])
        return (*shape[:-2], shape[-1], shape[-2]) if self.transposed else shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        return {
            "weight": Spec((*lead, K, N) if self.transposed else shape, torch.float8_e4m3fn),
            "weight_scale": Spec((*lead, 1, N) if self.transposed else (*lead, N, 1), torch.float32),
            "input_scale": Spec(shape[:-2], torch.float32),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return dict.fromkeys(("weight", "weight_scale"), Rows(-1 if self.transposed else -2))

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        made = fp8.dequantize(parts["weight"], parts["weight_scale"], None, dtype)
        return made.mT if self.transposed else made

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        codes, scale = fp8.quantize_rows(weight)
        if self.transposed:
            codes, scale = codes.mT.contiguous(), scale.mT.contiguous()
        return {"weight": codes, "weight_scale": scale}

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        return _product(self, x, parts, shape, self.upper_bound)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fp8Tensor:
    """One scale for the whole weight, or for each expert's.

    `scale` is what it is called (`weight_scale`, `weight_scale_inv`, `scale`, `qscale_weight`), and `inputs` what the
    scale of activations is; `one` is the shape in which files keep a single number, () or (1,).
    """

    activations: Activations = "none"
    scale: str = "weight_scale"
    inputs: str = "input_scale"
    one: Shape = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        scale = Part("weight_scale", self.scale, stacked=_stacked(self.scale))
        return (Part("weight", "weight", stacked=""), scale, *_input_scale(self.activations, self.inputs))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        return _float8(stored["weight"])

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        scale = Spec((*shape[:-2], *self.one), torch.float32)
        return {"weight": Spec(shape, torch.float8_e4m3fn), "weight_scale": scale, "input_scale": scale}

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None if len(shape) > 2 else {"weight": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return fp8.dequantize(parts["weight"], parts["weight_scale"].reshape(*shape[:-2], 1, 1), None, dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        codes, scale = fp8.quantize_tensor(weight)
        return {"weight": codes, "weight_scale": scale.reshape((*weight.shape[:-2], *self.one))}

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        return _product(self, x, parts, shape, None)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fp8Block:
    """A scale for each block of `block` = (rows, columns); "ue8m0" keeps them powers of two.

    `scale` is what it is called; most files say `weight_scale_inv` and mean what codes are multiplied by. `static`
    checkpoints bring a scale for activations, which is kept.
    """

    block: tuple[int, int] = (128, 128)
    scale_format: fp8.ScaleFormat = "float"
    static: bool = False
    scale: str = "weight_scale_inv"

    @property
    def parts(self) -> tuple[Part, ...]:
        scale = Part("weight_scale_inv", self.scale, stacked=_stacked(self.scale))
        return (
            Part("weight", "weight", stacked=""),
            scale,
            *_input_scale("static" if self.static else "none", "activation_scale"),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        shape, found = _float8(stored["weight"]), stored["weight_scale_inv"].shape
        if found != fp8.grid(shape, self.block):
            raise PackingError(
                f"scales of shape {list(found)} do not cover weights {list(shape)} in blocks of {self.block}, "
                f"which takes {list(fp8.grid(shape, self.block))}",
                fix="correct weight_block_size in the quantization config",
            )
        return shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        scales = Spec(fp8.grid(shape, self.block), torch.float32)
        return {
            "weight": Spec(shape, torch.float8_e4m3fn),
            "weight_scale_inv": scales,
            "input_scale": Spec(shape[:-2], torch.float32),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"weight": Rows(-2), "weight_scale_inv": Rows(-2, per=self.block[0])}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return fp8.dequantize(parts["weight"], parts["weight_scale_inv"], self.block, dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        codes, scale = fp8.quantize_blocks(weight, self.block, self.scale_format)
        return {"weight": codes, "weight_scale_inv": scale}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fp4Row:
    """Four-bit floats two to a byte (`int8`), a power-of-two scale for every 32 inputs: DeepSeek's experts."""

    scale: str = "weight_scale_inv"

    @property
    def parts(self) -> tuple[Part, ...]:
        scale = Part("weight_scale_inv", self.scale, stacked=_stacked(self.scale))
        return (Part("weight", "weight", stacked=""), scale)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, half = stored["weight"].shape
        return (*lead, 2 * half)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        if shape[-1] % e2m1.MX_BLOCK:
            raise PackingError(f"{shape[-1]} inputs do not divide into groups of {e2m1.MX_BLOCK}")
        return {
            "weight": Spec((*shape[:-1], shape[-1] // 2), torch.int8),
            "weight_scale_inv": Spec((*shape[:-1], shape[-1] // e2m1.MX_BLOCK), torch.float8_e8m0fnu),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"weight": Rows(-2), "weight_scale_inv": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        scale = fp8.scale_values(parts["weight_scale_inv"])
        made: Tensor = (
            e2m1.unpack(parts["weight"]).unflatten(-1, (-1, e2m1.MX_BLOCK)) * scale[..., None]
        ).to(dtype)
        return made.flatten(-2)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        self.specs(tuple(weight.shape))
        packed, scale = e2m1.quantize_mx(weight)
        return {"weight": packed.view(torch.int8), "weight_scale_inv": scale.view(torch.float8_e8m0fnu)}


def _float8(weight: Stored) -> Shape:
    if weight.dtype is not torch.float8_e4m3fn:
        raise PackingError(
            f"weights that should be 8-bit floats (E4M3) are {str(weight.dtype).removeprefix('torch.')}",
            fix="correct the quantization config's list of modules that are not converted",
        )
    return weight.shape


def _stacked(scale: str) -> str:
    return "_" + scale.removeprefix("weight_")


def _input_scale(activations: Activations, name: str = "input_scale") -> tuple[Part, ...]:
    return (Part("input_scale", name, written=False),) if activations == "static" else ()


def _product(
    codec: Fp8Row | Fp8Tensor, x: Tensor, parts: Parts, shape: Shape, upper_bound: float | None
) -> Tensor:
    """x through the weight, with x rounded to 8-bit floats where the device multiplies them."""

    def dense(dtype: torch.dtype) -> Tensor:
        return codec.dequantize(parts, shape, dtype)

    def multiplied(x: Tensor) -> Tensor:
        if codec.activations == "none" or not fp8.has_product(parts["weight"], x.dtype):
            return F.linear(x, dense(x.dtype))
        if codec.activations == "static":
            codes, scale = fp8.with_scale(x, parts["input_scale"]), parts["input_scale"]
        else:
            codes, scale = fp8.quantize_activations(x, upper_bound=upper_bound)
        y = fp8.multiply(codes.view(-1, shape[-1]), scale, parts["weight"], parts["weight_scale"], x.dtype)
        return y.view(*x.shape[:-1], shape[-2])

    return straight_through(x, multiplied, lambda: dense(x.dtype))
