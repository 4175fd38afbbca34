"""NVFP4: four-bit floats in groups of 16 with an E4M3 scale each and one float32 for the weight.

Two dialects. NVIDIA ModelOpt stores what scales are multiplied by (`weight_scale_2`); compressed-tensors what
they are divided by (`weight_global_scale`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.formats import e2m1
from hf_quant.formats.checks import require_multiple
from hf_quant.kernels import cuda
from hf_quant.linear import Kernel

Dialect = Literal["modelopt", "compressed-tensors"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Nvfp4:
    """Codes two to a byte. A scale for inputs that the checkpoint brings is kept, and inputs are not rounded: that
    serves hardware which multiplies such numbers, and nothing else."""

    dialect: Dialect = "modelopt"

    @property
    def parts(self) -> tuple[Part, ...]:
        ours = self.dialect == "modelopt"
        inputs = "input_scale" if ours else "input_global_scale"
        return (
            Part("weight", "weight" if ours else "weight_packed"),
            Part("weight_scale", "weight_scale"),
            Part("tensor_scale", "weight_scale_2" if ours else "weight_global_scale"),
            Part("input_scale", inputs, required=False, written=False),
        )

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, half = stored["weight"].shape
        return (*lead, 2 * half)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        require_multiple(K, e2m1.NV_BLOCK, "the number of inputs")
        one = (*lead,) if self.dialect == "modelopt" else (*lead, 1)
        return {
            "weight": Spec((*lead, N, K // 2), torch.uint8),
            "weight_scale": Spec((*lead, N, K // e2m1.NV_BLOCK), torch.float8_e4m3fn),
            "tensor_scale": Spec(one, torch.float32),
            "input_scale": Spec(one, torch.float32),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"weight": Rows(-2), "weight_scale": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        scales = self._scales(parts, shape)
        values = e2m1.unpack(parts["weight"]).unflatten(-1, (-1, e2m1.NV_BLOCK))
        made: Tensor = (values * scales[..., None]).to(dtype).flatten(-2)
        return made

    def kernel(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Kernel | None:
        """Our product of few rows, on CUDA."""
        scales = self._scales(parts, shape)
        return cuda.four_bit_product(parts["weight"], scales, e2m1.levels(), dtype, low_first=True)

    def _scales(self, parts: Parts, shape: Shape) -> Tensor:
        """What codes are multiplied by, float32."""
        whole = parts["tensor_scale"].float().reshape(*shape[:-2], 1, 1)
        scales = parts["weight_scale"].float()
        return scales * whole if self.dialect == "modelopt" else scales / whole

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        specs = self.specs(tuple(weight.shape))
        N, K = weight.shape[-2:]
        made = [e2m1.quantize_nv(matrix) for matrix in weight.reshape(-1, N, K)]
        codes, scales, whole = (torch.stack(part) for part in zip(*made, strict=True))
        if self.dialect == "compressed-tensors":
            whole = 1 / whole
        return {
            name: value.view(specs[name].shape)
            for name, value in (("weight", codes), ("weight_scale", scales), ("tensor_scale", whole))
        }
