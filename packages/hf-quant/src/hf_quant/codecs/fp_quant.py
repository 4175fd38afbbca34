"""FP-Quant: four-bit floats in a rotated space.

Source: Egiazarian et al., "Bridging the Gap Between Promise and Performance for Microscaling FP4 Quantization"
(arXiv 2509.23202). Groups of inputs are multiplied by an orthogonal matrix H before rounding: y = (x H) q(W H)^T.
Activations are not rounded here: that serves hardware which multiplies such numbers, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.formats import e2m1, hadamard
from hf_quant.formats.checks import require_finite, require_multiple
from hf_quant.formats.fp8 import E4M3_MAX

_HEADROOM = 3.0  # what "abs_max" multiplies by before rounding, stored as the global scale
_OPTIMAL_CLIP = 2.92247856 / e2m1.MAX  # for a normal distribution, in standard deviations ("quest")
_BIAS = 127


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FPQuant:
    """Settings as in the config: `forward_dtype`, `forward_method`, `hadamard_group_size`, `transform_init`.

    `pseudo` checkpoints hold the rounded weight as it is, still rotated (`dqweight`); `master` ones the original.
    """

    forward_dtype: Literal["nvfp4", "mxfp4"] = "nvfp4"
    forward_method: Literal["abs_max", "quest"] = "abs_max"
    rotation: int = 16
    transform_init: Literal["hadamard", "identity", "gsr"] = "hadamard"
    pseudo: bool = False
    master: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        if self.master:
            held: tuple[Part, ...] = (Part("weight", "weight"),)
        elif self.pseudo:
            held = (Part("dqweight", "dqweight"),)
        else:
            held = (Part("qweight", "qweight"), Part("scales", "scales"))
        return (
            *held,
            Part("weight_global_scale", "weight_global_scale"),
            Part("act_global_scale", "act_global_scale"),
            Part("forward_hadamard_matrix", "forward_hadamard_matrix"),
            Part("backward_hadamard_matrix", "backward_hadamard_matrix"),
        )

    @property
    def group(self) -> int:
        """How many numbers share a scale."""
        return e2m1.NV_BLOCK if self.forward_dtype == "nvfp4" else e2m1.MX_BLOCK

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        if self.master or self.pseudo:
            return stored["weight" if self.master else "dqweight"].shape
        *lead, half = stored["qweight"].shape
        return (*lead, 2 * half)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, K = shape
        require_multiple(K, max(self.rotation, self.group), "the number of inputs")
        matrix = Spec((*shape[:-2], self.rotation, self.rotation), torch.bfloat16)
        one = Spec((*shape[:-2], 1), torch.bfloat16)
        return {
            "weight": Spec(shape, torch.bfloat16),
            "dqweight": Spec(shape, torch.bfloat16),
            "qweight": Spec((*lead, K // 2), torch.uint8),
            "scales": Spec((*lead, K // self.group), torch.uint8),
            "weight_global_scale": one,
            "act_global_scale": one,
            "forward_hadamard_matrix": matrix,
            "backward_hadamard_matrix": matrix,
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        names = ("weight",) if self.master else ("dqweight",) if self.pseudo else ("qweight", "scales")
        return dict.fromkeys(names, Rows(-2))

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        if len(shape) > 2:
            each = ({name: part[e] for name, part in parts.items()} for e in range(shape[0]))
            return torch.stack([self.dequantize(one, shape[1:], dtype) for one in each])
        return _times(self._rotated(parts), parts["forward_hadamard_matrix"].T).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        if weight.ndim > 2:
            each_made = [self.quantize(matrix) for matrix in weight]
            return {name: torch.stack([one[name] for one in each_made]) for name in each_made[0]}
        specs = self.specs(tuple(weight.shape))
        headroom = _HEADROOM if self.forward_method == "abs_max" else 1.0
        made = {
            "weight_global_scale": torch.full((1,), headroom),
            "act_global_scale": torch.full((1,), headroom),
            "forward_hadamard_matrix": self._matrix(),
            "backward_hadamard_matrix": self._matrix(),
        }
        made = {name: value.to(weight.device, specs[name].dtype) for name, value in made.items()}
        if self.master:
            return {"weight": weight.to(torch.bfloat16), **made}
        whole = made["weight_global_scale"]
        codes, scales = self._round(_times(weight, made["forward_hadamard_matrix"]), whole)
        if self.pseudo:
            return {"dqweight": self._values(codes, scales, whole).to(torch.bfloat16), **made}
        return {"qweight": codes, "scales": scales, **made}

    def _rotated(self, parts: Parts) -> Tensor:
        """The rounded weight in the rotated space, float32."""
        if self.pseudo:
            return parts["dqweight"].float()
        whole = parts["weight_global_scale"]
        if self.master:
            rotated = _times(parts["weight"], parts["forward_hadamard_matrix"])
            return self._values(*self._round(rotated, whole), whole)
        return self._values(parts["qweight"], parts["scales"], whole)

    def _round(self, rotated: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Codes two to a byte, and the groups' scales as bytes, with `whole` as the global scale."""
        groups = rotated.unflatten(-1, (-1, self.group))
        peak = groups.abs().amax(-1)
        require_finite(peak)
        if self.forward_dtype == "nvfp4":
            scales = (
                (peak * _HEADROOM / e2m1.MAX).clamp(max=E4M3_MAX).to(torch.float8_e4m3fn).view(torch.uint8)
            )
        else:
            if self.forward_method == "quest":
                # max(): rounding can make the variance of equal numbers negative.
                variance = (groups.square().mean(-1) - groups.mean(-1).square()).clamp(min=0)
                peak = _OPTIMAL_CLIP * variance.sqrt() + 1e-8
            _, exponent = torch.frexp(peak)
            scales = (exponent - 1 + _BIAS).clamp(0, 254).to(torch.uint8)
        divisor = self._scales(scales, whole)[..., None]
        return e2m1.pack((groups / torch.where(divisor > 0, divisor, torch.inf)).flatten(-2)), scales

    def _values(self, codes: Tensor, scales: Tensor, whole: Tensor) -> Tensor:
        groups = e2m1.unpack(codes).unflatten(-1, (-1, self.group))
        made: Tensor = (groups * self._scales(scales, whole)[..., None]).flatten(-2)
        return made

    def _scales(self, stored: Tensor, whole: Tensor) -> Tensor:
        if self.forward_dtype == "nvfp4":
            return stored.view(torch.float8_e4m3fn).float() / whole.float()
        return e2m1.e8m0_scales(stored) / whole.float()

    def _matrix(self) -> Tensor:
        match self.transform_init:
            case "hadamard":
                return hadamard.matrix(self.rotation)
            case "gsr":
                return hadamard.by_sign_changes(self.rotation)
            case "identity":
                return torch.eye(self.rotation, device="cpu")


def _times(x: Tensor, matrix: Tensor) -> Tensor:
    """Groups of x's last dimension times the matrix, float32."""
    made: Tensor = (x.float().unflatten(-1, (-1, len(matrix))) @ matrix.float()).flatten(-2)
    return made
