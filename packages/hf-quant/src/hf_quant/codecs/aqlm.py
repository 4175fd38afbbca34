"""AQLM: each block of weights is a sum of entries of codebooks, times the scale of its outputs.

Source: Egiazarian et al., "Extreme Compression of Large Language Models via Additive Quantization"
(arXiv 2401.06118), and the layout of the library aqlm. `og` outputs by `ig` inputs make a block; C codebooks
have 2^bits entries each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import CalibrationNeededError, PackingError
from hf_quant.formats.checks import require_multiple


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Aqlm:
    """Settings as in the config: `in_group_size`, `out_group_size`, `num_codebooks`, `nbits_per_codebook`."""

    inputs: int = 8
    outputs: int = 1
    codebooks: int = 1
    bits: int = 16

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part("codes", "codes"), Part("codebooks", "codebooks"), Part("scales", "scales"))

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, blocks_N, blocks_K, _ = stored["codes"].shape
        shape = (*lead, blocks_N * self.outputs, blocks_K * self.inputs)
        specs = self.specs(shape)
        for name, part in stored.items():
            if part.shape != specs[name].shape:
                raise PackingError(
                    f"{name} has the shape {list(part.shape)}, and blocks of {self.outputs} x {self.inputs} with "
                    f"{self.codebooks} codebooks of {self.bits} bits need {list(specs[name].shape)}",
                    fix="correct in_group_size, out_group_size, num_codebooks or nbits_per_codebook in the config",
                )
        return shape

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, N, K = shape
        require_multiple(N, self.outputs, "the number of outputs")
        require_multiple(K, self.inputs, "the number of inputs")
        blocks = (*lead, N // self.outputs, K // self.inputs)
        return {
            "codes": Spec((*blocks, self.codebooks), torch.int8 if self.bits <= 8 else torch.int16),
            "codebooks": Spec(
                (*lead, self.codebooks, 2**self.bits, self.outputs, self.inputs), torch.float16
            ),
            "scales": Spec((*blocks[:-1], 1, 1, 1), torch.float16),
        }

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"codes": Rows(-3, per=self.outputs), "scales": Rows(-4, per=self.outputs)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        if len(shape) > 2:
            experts = range(shape[0])
            return torch.stack(
                [self.dequantize({n: p[e] for n, p in parts.items()}, shape[1:], dtype) for e in experts]
            )
        entries, scales = parts["codebooks"].float().flatten(2), parts["scales"].float()
        # Codes are unsigned, stored under a signed type.
        codes = parts["codes"].int() & (2**self.bits - 1)
        total = entries[0].index_select(0, codes[..., 0].flatten())
        for book in range(1, self.codebooks):
            total += entries[book].index_select(0, codes[..., book].flatten())
        N, K = shape
        blocks = total.view(N // self.outputs, K // self.inputs, self.outputs, self.inputs) * scales
        return blocks.transpose(1, 2).reshape(shape).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        raise CalibrationNeededError(
            "AQLM's codebooks are fitted to a layer's inputs, for hours and on a GPU",
            fix="load a checkpoint that was quantized already, or choose a method such as HIGGS",
        )
