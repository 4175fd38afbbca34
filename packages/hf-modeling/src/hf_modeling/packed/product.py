"""One matrix product with weights laid out for the processor: what a packed linear layer runs.

oneDNN reorders a weight once into the blocks that its kernels read, so that a product of few rows streams
memory at full speed. The numbers are those of `F.linear` to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, final

import torch
from torch import Tensor, nn

# Axes: I input features, O output features of all layers together.

DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
ROWS_EXPECTED: Final = 64
"""Rows that oneDNN chooses the layout of weights for. Chosen for one row, the layout is a third slower at every
number of rows, one included (float32; in bfloat16 it makes no difference)."""


@final
class Packed:
    """The weights of one linear layer, or of several with the same input, as one matrix.

    It remembers which parameters it was made from and steps aside when they changed, when gradients are
    recorded, under autocast, and while a graph is being captured.

    Args:
        layers: whose weights; they lie one after the other in the result.
        reorder: lay the matrix out for oneDNN. False keeps it as it is: then several narrow layers cost one
            call, and that is all that is gained.
    """

    __slots__ = ("_samples", "_watched", "dtype", "nbytes", "product", "sizes")

    product: Callable[[Tensor], Tensor]
    """x (..., I) times all weights, plus biases: (..., O)."""

    def __init__(self, layers: Sequence[nn.Linear], *, reorder: bool = True) -> None:
        self.sizes = [layer.out_features for layer in layers]
        weight_OI = _joined([layer.weight.detach() for layer in layers])
        biases = [bias.detach() for layer in layers if (bias := layer._parameters["bias"]) is not None]
        bias_O = torch.cat(biases) if biases else None
        if reorder:
            blocked = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS_EXPECTED)
            self.product = partial(
                torch.ops.mkldnn._linear_pointwise, W=blocked, B=bias_O, attr="none", scalars=[], algorithm=""
            )
        else:
            self.product = partial(nn.functional.linear, weight=weight_OI, bias=bias_O)
        self.dtype, self.nbytes = weight_OI.dtype, weight_OI.nbytes
        self._watched = [watched for layer in layers for watched in _watched(layer)]
        self._samples = [(layer.weight, _sample(layer.weight)) for layer in layers]

    def serves(self, x: Tensor) -> bool:
        """Whether this input should go through the packed product, and the weights are what was packed."""
        if torch.is_grad_enabled() or x.dtype is not self.dtype or not x.is_cpu:
            return False
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return False
        # A loop, written out: this runs for every product of every token.
        for parameters, name, parameter, version, data in self._watched:
            if parameters[name] is not parameter:
                return False
            if parameter is not None and (parameter.data_ptr() != data or parameter._version != version):
                return False
        return True

    def is_trusted(self) -> bool:
        """Whether the weights are what was packed, by a sample of their numbers, too.

        So writes that bypass version counters are seen.
        """
        for parameters, name, parameter, version, data in self._watched:
            if parameters[name] is not parameter:
                return False
            if parameter is not None and (parameter.data_ptr() != data or parameter._version != version):
                return False
        return all(torch.equal(_sample(weight), sample) for weight, sample in self._samples)


Watched = tuple[Mapping[str, Tensor | None], str, Tensor | None, int, int]
"""Where a parameter hangs, its name, itself, and its version and address when packed."""


def _watched(layer: nn.Linear) -> list[Watched]:
    """What has to stay as it is for a packed copy of this layer to be right."""
    held = layer._parameters
    return [
        (held, name, p, 0 if p is None else p._version, 0 if p is None else p.data_ptr())
        for name, p in held.items()
    ]


def can_pack(layer: nn.Linear) -> bool:
    """Whether this layer's weights are of a kind that oneDNN packs here."""
    weight = layer.weight
    return (
        weight.device.type == "cpu"
        and weight.dtype in DTYPES
        and type(weight) is torch.nn.Parameter
        and not weight.is_inference()  # such a tensor does not count its versions
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


def _sample(weight: Tensor) -> Tensor:
    """A few numbers of the weight, from few places: each may read a piece of a file again."""
    flat = weight.detach().reshape(-1)
    return torch.cat([flat[:4], flat[flat.shape[0] // 2 :][:4]])
