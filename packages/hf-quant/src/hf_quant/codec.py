"""What a quantization format is here: a frozen value with the numbers that describe one packed weight, and pure
functions between that weight and the tensors that hold it. No modules, no files, no state.

Weights are always seen as a linear layer uses them, `[..., N, K]`: N outputs, K inputs, and before them any
leading dimensions, of experts. G is the length of a group of inputs that share a scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

Shape = tuple[int, ...]
Parts = Mapping[str, Tensor]
"""The tensors that hold one weight, by `Part.name`."""


@final
@dataclass(frozen=True, slots=True)
class Part:
    """One of the tensors that hold a weight.

    name: what it is called in memory, an identifier (`"absmax"`).
    suffix: what follows the module's name and a dot on disk (`"weight.absmax"` of `...q_proj`).
    required: whether a weight without it cannot be read.
    written: whether `Codec.quantize` makes it.
    stacked: what follows the name of a parameter that belongs to no linear layer, as stacked experts do
        (`"_blocks"` of `...experts.gate_up_proj`; empty for the parameter's own name). None where the format
        has no such spelling: then it is the suffix, as of a layer.
    """

    name: str
    suffix: str
    required: bool = True
    written: bool = True
    stacked: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Spec:
    """What a part must look like for a weight of some shape.

    The element type is the one that `quantize` writes; files may hold another floating point type.
    """

    shape: Shape
    dtype: torch.dtype


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file, known from its header: nothing is read before `read` is called."""

    shape: Shape
    dtype: torch.dtype
    read: Callable[[], Tensor]


@final
@dataclass(frozen=True, slots=True)
class Rows:
    """Where the weight's rows are in a part: `each` slices along `dim` for every `per` rows, in order.

    dim counts from the end, so that experts in front do not matter. One row per slice is `Rows(-2)`; eight
    outputs in one word `Rows(-1, per=8)`; K / 64 entries of a flat list for each row `Rows(-1, each=K // 64)`.
    """

    dim: int
    per: int = 1
    each: int = 1


class Codec(Protocol):
    """One format with all its numbers (bits, group size, ...): implementations are frozen dataclasses."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The tensors that hold one weight."""
        ...

    def shape(self, stored: Mapping[str, Stored]) -> Shape:
        """The weight's shape, from its parts' headers (or tiny tensors among them).

        Raises PackingError. Called only when every required part is there.
        """
        ...

    def specs(self, shape: Shape) -> Mapping[str, Spec]:
        """What each part, optional ones too, looks like for a weight of this shape.

        Raises PackingError if such a weight cannot be packed (sizes that do not divide).
        """
        ...

    def rows(self, shape: Shape) -> Mapping[str, Rows] | None:
        """Where each part keeps the weight's rows; parts left out belong to all rows alike.

        With it, weights are cut, joined and stacked along N while packed. None: only whole weights can be
        moved, and any other change of layout unpacks them first.
        """
        ...

    def dequantize(self, parts: Parts, shape: Shape, dtype: torch.dtype) -> Tensor:
        """The weight `[..., N, K]`, calculated as the format's reference does, rounded to `dtype` once."""
        ...

    def quantize(self, weight: Tensor) -> dict[str, Tensor]:
        """The parts that hold a floating point weight `[..., N, K]`, rounded without looking at any data.

        Raises CalibrationNeededError where the format has no such rounding, PackingError, NonFiniteError.
        """
        ...


@runtime_checkable
class OwnProduct(Protocol):
    """A codec whose layers do more than multiply by the dequantized weight: they round activations, too."""

    def product(self, x: Tensor, parts: Parts, shape: Shape) -> Tensor:
        """x `[..., K]` through the weight `[N, K]`, without bias, in x's dtype.

        Must let gradients through to x where it is differentiable at all (straight through roundings).
        """
        ...


@runtime_checkable
class Restating(Protocol):
    """A codec with parts that spell out the weight's shape, which change when rows are cut or joined."""

    def restated(self, parts: Parts, shape: Shape) -> Mapping[str, Tensor]:
        """Those parts for a weight of this shape, of the same bytes as `quantize` makes; on meta, too."""
        ...
