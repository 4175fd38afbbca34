"""GGUF's blocks, kept packed: every type that `hf_modeling` reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hf_hub_io.gguf import GgmlType
from hf_modeling.weights.gguf_blocks import unpack
from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import CalibrationNeededError, PackingError
from hf_quant.formats import ggml
from hf_quant.formats.checks import require_multiple


@final
@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Ggml:
    """Rows of blocks of one type. Outside of GGUF files a tensor's name ends in it: `q_proj.weight.Q4_K`."""

    kind: GgmlType

    def __repr__(self) -> str:
        return f"Ggml(kind={self.kind.name})"

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part("blocks", f"weight.{self.kind.name}"),)

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        *lead, width = stored["blocks"].shape
        if width % self.kind.block_bytes:
            raise PackingError(
                f"rows of {width} bytes are not made of {self.kind.name} blocks of {self.kind.block_bytes}",
                fix="fetch the file again",
            )
        return (*lead, width // self.kind.block_bytes * self.kind.block)

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        *lead, K = shape
        require_multiple(K, self.kind.block, "the number of inputs")
        return {"blocks": Spec((*lead, K // self.kind.block * self.kind.block_bytes), torch.uint8)}

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return {"blocks": Rows(-2)}

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        return unpack(self.kind, parts["blocks"].contiguous()).view(shape).to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        if self.kind not in ggml.PACKERS:
            raise CalibrationNeededError(
                f"{self.kind.name} searches for its scales, which llama.cpp does and this package does not",
                fix="use one of " + ", ".join(kind.name for kind in ggml.PACKERS),
            )
        self.specs(tuple(weight.shape))
        return {"blocks": ggml.pack(self.kind, weight)}
