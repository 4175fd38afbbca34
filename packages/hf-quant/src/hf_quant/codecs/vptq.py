"""VPTQ: vectors along the outputs as entries of a codebook, and of a second one for what is left.

Source: Liu et al., "VPTQ: Extreme Low-bit Vector Post-Training Quantization" (arXiv 2409.17066), and the layout of
the library vptq. A vector covers `vector` outputs of one input; some inputs, the outliers, have a codebook of
their own and stand first until the permutation is undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from hf_quant.codec import Part, Parts, Rows, Shape, Spec, Stored
from hf_quant.errors import CalibrationNeededError, PackingError

_WORD = 32


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Vptq:
    """One layer's settings. `vector`, `centroids` and `residual` are of the main part; 0 means that there is none.

    shape_NK: the layer's own, which packed indices do not tell.
    groups: codebooks, each for `group` inputs.
    """

    shape_NK: tuple[int, int]
    vector: int
    centroids: int
    residual: int = 0
    groups: int = 1
    group: int
    outliers: int = 0
    outlier_vector: int = 0
    outlier_centroids: int = 0
    norm: bool = True
    permuted: bool = True

    def __post_init__(self) -> None:
        covered = self.groups * self.group + self.outliers
        if covered < self.shape_NK[1] or self.vector < 1 or self.centroids < 2:
            raise PackingError(
                f"VPTQ: {self.groups} groups of {self.group} inputs and {self.outliers} outliers, in vectors of "
                f"{self.vector} with {self.centroids} centroids, do not cover {self.shape_NK[1]} inputs",
                fix="correct the layer's entry in config_for_layers",
            )

    @property
    def parts(self) -> tuple[Part, ...]:
        names = ["indices", "centroids"]
        names += ["res_centroids"] if self.residual else []
        names += ["outlier_indices", "outlier_centroids"] if self.outliers else []
        names += ["perm"] if self.permuted else []
        names += ["weight_scale", "weight_bias"] if self.norm else []
        return tuple(Part(name, f"{name}.weight" if name.endswith("centroids") else name) for name in names)

    @property
    def _bits(self) -> tuple[int, int]:
        """Bits of a main index and of a residual one."""
        return (self.centroids - 1).bit_length(), (self.residual - 1).bit_length() if self.residual else 0

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        specs = self.specs(self.shape_NK)
        for name, part in stored.items():
            if part.shape != specs[name].shape:
                raise PackingError(
                    f"{name} has the shape {list(part.shape)}, and the layer's settings need "
                    f"{list(specs[name].shape)}",
                    fix="correct the layer's entry in config_for_layers",
                )
        return self.shape_NK

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        N, K = shape
        words = -(-self.group * sum(self._bits) // _WORD)
        made = {
            "indices": Spec((self.groups, -(-N // self.vector), words), torch.int32),
            "centroids": Spec((self.groups, self.centroids * self.vector), torch.float16),
            "res_centroids": Spec((self.groups, self.residual * self.vector), torch.float16),
            "perm": Spec((K,), torch.int16),
            "weight_scale": Spec((K,), torch.float16),
            "weight_bias": Spec((K,), torch.float16),
        }
        if self.outliers:
            vectors = -(-N // self.outlier_vector)
            made["outlier_indices"] = Spec((1, vectors, self.outliers), torch.int16)
            made["outlier_centroids"] = Spec((1, self.outlier_centroids * self.outlier_vector), torch.float16)
        return made

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        return None

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        N, K = shape
        main_bits, residual_bits = self._bits
        fields = unpack_bits(parts["indices"], main_bits + residual_bits, self.group)
        weight = _looked_up(parts["centroids"], fields & ((1 << main_bits) - 1), self.vector)
        if self.residual:
            weight += _looked_up(parts["res_centroids"], fields >> main_bits, self.vector)
        # (groups, N, group) to (N, groups * group)
        weight = weight.transpose(0, 1).flatten(1)[:N]
        if self.outliers:
            indices = parts["outlier_indices"].int() & 0xFFFF
            few = _looked_up(parts["outlier_centroids"], indices, self.outlier_vector)
            weight = torch.cat((few[0, :N], weight), dim=1)
        if self.permuted:
            weight = weight[:, (parts["perm"].int() & 0xFFFF).argsort()]
        if self.norm:
            weight = weight * parts["weight_scale"].float() + parts["weight_bias"].float()
        return weight[:, :K].to(dtype)

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        raise CalibrationNeededError(
            "VPTQ's centroids are fitted with second derivatives of a layer's error, on a GPU",
            fix="load a checkpoint that was quantized already, or choose a method such as HIGGS",
        )


def unpack_bits(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` fields of `bits` (at most 32) in each row of int32 words, lowest bits first; int64."""
    start = torch.arange(count, device=packed.device) * bits
    word, shift = start // _WORD, start % _WORD
    words = torch.nn.functional.pad(packed.long() & 0xFFFFFFFF, (0, 1))
    pair = words[..., word] | (words[..., word + 1] << _WORD)
    # A shift to the right of a negative number brings in ones, which the mask takes away.
    return (pair >> shift) & ((1 << bits) - 1)


def _looked_up(centroids: Tensor, indices: Tensor, vector: int) -> Tensor:
    """Vectors along rows: centroids (groups, n * vector) by indices (groups, blocks, inputs), float32
    (groups, blocks * vector, inputs)."""
    groups, blocks, inputs = indices.shape
    entries = centroids.float().view(groups, -1, vector)
    found = torch.stack([book.index_select(0, i.flatten()) for book, i in zip(entries, indices, strict=True)])
    return found.view(groups, blocks, inputs, vector).transpose(2, 3).reshape(groups, blocks * vector, inputs)
