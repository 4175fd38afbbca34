"""The two kinds of layers, with typed calls, and the parts that every layer is made of.

Parameters are made on the meta device and hold nothing: loading assigns them, or `init.initialize` fills
them. Classes here are final; a layer's constructor chooses, its `forward` runs straight.

B batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self, TypeVar, final

import torch
from torch import Tensor, nn

from hf_modeling.cache import State

if TYPE_CHECKING:
    from hf_modeling.layers.attention import Scoring
    from hf_modeling.packed.product import Packed
    from hf_modeling.step import Step

T = TypeVar("T")
META: Final = torch.device("meta")


def parameter(*shape: int) -> nn.Parameter:
    """A parameter of this shape without memory, to be assigned or initialised later."""
    return nn.Parameter(torch.empty(shape, device=META))


class Layer(nn.Module):
    """A layer that maps each position by itself, whatever the step."""

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...


class StepLayer(nn.Module):
    """A layer that reads the step: a block, a feed-forward network."""

    states: Mapping[str, State] = MappingProxyType({})
    """What it needs remembered between calls, as a mixer's; nearly always nothing."""
    recompute: bool = False
    """Of a block: whether its activations are computed again in the backward pass, not kept for it."""

    if TYPE_CHECKING:

        def __call__(self, x_BTD: Tensor, step: Step) -> Tensor: ...


class Mixer(nn.Module):
    """A layer that moves information between positions.

    states: what it needs remembered between calls, by name. `forward` stores new tokens with
        `step.cache.extend` or replaces a value with `step.cache.put`, under its layer's number; a step
        without a cache remembers nothing.
    """

    states: Mapping[str, State]
    scoring: Scoring | None = None
    """How its queries meet keys; None where it has none."""

    if TYPE_CHECKING:

        def __call__(self, x_BTD: Tensor, step: Step) -> Tensor: ...


def states_of(block: nn.Module) -> Mapping[str, State]:
    """What the parts of a block need remembered between calls, by name."""
    parts = [part for part in block.children() if isinstance(part, Mixer | StepLayer)]
    return {name: state for part in parts for name, state in part.states.items()}


def surviving(layers: Iterable[T], dropout: float) -> list[T]:
    """The layers that one call in training runs: each is left out with this probability (arXiv 1909.11556)."""
    return [layer for layer in layers if not dropout or float(torch.rand(())) >= dropout]


@final
class Linear(nn.Linear):
    """`nn.Linear` without its own initialisation, and with room for a packed copy of its weights.

    packed: set by `prepare_for_inference`; serves calls without gradients while the weights stay as they are.
        Not part of the state: it is left out of copies, and given up in training mode and on moves.
    packing_settled: whether packing was decided, either way.
    """

    packed: Packed | None = None
    packing_settled: bool = False

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=bias, device=META)

    def reset_parameters(self) -> None:
        """Nothing: weights are loaded, or set by `init.initialize`."""

    def forward(self, input: Tensor) -> Tensor:
        packed = self.packed
        if packed is not None and len(packed.sizes) == 1 and packed.serves(input):
            return packed.product(input)
        parameters = self._parameters  # the attributes take a search each
        weight, bias = parameters["weight"], parameters["bias"]
        return nn.functional.linear(input, weight, bias)  # type: ignore[arg-type]  # a weight is never None

    def train(self, mode: bool = True) -> Self:
        if mode:
            self.packed, self.packing_settled = None, False
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.packed, self.packing_settled = None, False
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return self

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"packed": None, "packing_settled": False}

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor: ...


def together(x: Tensor, *layers: Layer | Linear) -> tuple[Tensor, ...]:
    """What each of these layers makes of `x`, by one product where they were packed as one."""
    first = layers[0]
    if isinstance(first, Linear):
        packed = first.packed
        if packed is not None and len(packed.sizes) == len(layers) and packed.serves(x):
            for layer in layers:
                if layer._forward_hooks or layer._forward_pre_hooks:
                    break
            else:
                return tuple(torch.split_with_sizes(packed.product(x), packed.sizes, -1))
    return tuple(layer(x) for layer in layers)


@final
class Embedding(nn.Embedding):
    """`nn.Embedding` without its own initialisation."""

    def __init__(self, count: int, width: int, *, padding_id: int | None = None) -> None:
        super().__init__(count, width, padding_idx=padding_id, device=META)

    def reset_parameters(self) -> None:
        """Nothing: weights are loaded, or set by `init.initialize`."""

    if TYPE_CHECKING:

        def __call__(self, ids: Tensor) -> Tensor: ...


@final
class Identity(Layer):
    """Its input: where a norm is absent."""

    def forward(self, x: Tensor) -> Tensor:
        return x
