"""One matrix product with weights laid out for the processor: what a packed linear layer runs.

oneDNN reorders a weight once into the blocks that its kernels read, so that a product of few rows streams
memory at full speed. The numbers are those of `F.linear` to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch import nn

# Axes: I input features, O output features of all layers together.

DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
ROWS_EXPECTED: Final = 64
"""Rows that oneDNN chooses the layout of weights for. Chosen for one row, the layout is a third slower at every
number of rows, one included (float32; in bfloat16 it makes no difference)."""


@final
class Packed:
    """The weights of one linear layer, or of several with the same input, packed as one matrix.

    It remembers which parameters it was made from and steps aside when they changed, when gradients are
    recorded, under autocast, and while a graph is being captured.
    """

    __slots__ = ("_bias", "_matrix", "_sources", "nbytes", "sizes")

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.sizes = [layer.out_features for layer in layers]
        self._sources = [_Source(layer) for layer in layers]
        weight_OI = _joined([layer.weight.detach() for layer in layers])
        biases = [source.bias.detach() for source in self._sources if source.bias is not None]
        self._bias = torch.cat(biases) if biases else None
        self._matrix = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS_EXPECTED)
        self.nbytes = weight_OI.nbytes

    def product(self, x: Tensor) -> Tensor:
        """x (..., I) times all weights, plus biases: (..., O)."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._matrix, self._bias, "none", [], "")
        return result

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The result of each layer; views of one tensor."""
        return torch.split(self.product(x), self.sizes, dim=-1)

    def serves(self, x: Tensor) -> bool:
        """Whether this input should go through the packed product, and the weights are what was packed."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
            return False
        first = self._sources[0]
        return x.dtype == first.dtype and x.device.type == "cpu" and self.is_current()

    def is_current(self) -> bool:
        """Whether every layer still has the parameters that were packed, unchanged."""
        return all(source.is_current() for source in self._sources)

    def is_trusted(self) -> bool:
        """`is_current`, and a sample of the numbers is the same: sees writes that bypass version counters."""
        return all(source.is_current() and source.sample_is_same() for source in self._sources)


@final
class _Source:
    """A layer whose weights were packed, and how to tell that they changed since."""

    __slots__ = ("_data", "_layer", "_sample", "_versions", "_weight", "bias", "dtype")

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer
        self._weight, self.bias = layer.weight, layer._parameters["bias"]
        self.dtype = layer.weight.dtype
        self._data = layer.weight.data_ptr()
        self._versions = self._current_versions()
        self._sample = _sample(layer.weight)

    def is_current(self) -> bool:
        parameters = self._layer._parameters
        return (
            parameters["weight"] is self._weight
            and parameters["bias"] is self.bias
            and self._weight.data_ptr() == self._data
            and self._current_versions() == self._versions
        )

    def sample_is_same(self) -> bool:
        return torch.equal(_sample(self._weight), self._sample)

    def _current_versions(self) -> int:
        return _version(self._weight) + (0 if self.bias is None else _version(self.bias))


def can_pack(layer: nn.Linear) -> bool:
    """Whether this layer's weights are of a kind that oneDNN packs here."""
    weight = layer.weight
    return (
        weight.device.type == "cpu"
        and weight.dtype in DTYPES
        and type(weight) is torch.nn.Parameter
        and weight.is_contiguous()
        and torch.backends.mkldnn.is_available()
    )


def pack(layers: Sequence[nn.Linear]) -> Packed | None:
    """These layers packed as one matrix; None where this build of torch or this processor cannot."""
    try:
        packed = Packed(layers)
        probe = torch.zeros(1, layers[0].in_features, dtype=layers[0].weight.dtype)
        packed.product(probe)
    except (RuntimeError, AttributeError):
        # The operators are internal to torch and depend on the processor (fp16 needs its instructions):
        # without them layers run as they are.
        return None
    return packed


def _joined(weights: list[Tensor]) -> Tensor:
    return weights[0] if len(weights) == 1 else torch.cat(weights)


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to; tensors of inference mode do not count."""
    return 0 if tensor.is_inference() else tensor._version


def _sample(weight: Tensor) -> Tensor:
    """A few numbers of the weight, from few places: each may read a piece of a file again."""
    flat = weight.detach().reshape(-1)
    return torch.cat([flat[:4], flat[flat.shape[0] // 2 :][:4]])
