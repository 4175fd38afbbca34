"""Parameter groups: which parameters decay, and which learn more slowly than others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from torch import nn

from hf_train.errors import TrainingModelError

NO_DECAY: Final = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)")
"""Names of parameters whose size means something by itself, so that it must not decay."""
_LAYER: Final = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|block)\.(\d+)\.")


def decays(model: nn.Module) -> frozenset[str]:
    """Names of the parameters that weight decay shrinks: all but biases and those of norms."""
    norms = {
        f"{module_name}.{name}" if module_name else name
        for module_name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
    names = (name for name, _ in model.named_parameters())
    return frozenset(name for name in names if name not in norms and not NO_DECAY.search(name.lower()))


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    decaying: frozenset[str] | None = None,
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Groups for an optimizer: parameters that decay, then those that do not, in the model's order.

    With `layer_decay` there are two groups for each depth: a parameter of layer i of L learns with
    `learning_rate * layer_decay ** (L - i)`, the embeddings most slowly and what follows the layers fully.

    Raises:
        TrainingModelError: no parameter requires a gradient.
    """
    decaying = decays(model) if decaying is None else decaying
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not trained:
        raise TrainingModelError(
            f"{type(model).__name__} has no parameter that requires a gradient",
            fix="set requires_grad on what is to be trained, or add an adapter",
        )
    rate = _rates(trained, learning_rate, layer_decay)
    groups: list[dict[str, Any]] = []
    for lr in sorted({rate(name) for name, _ in trained}, reverse=True):
        for decay in (True, False):
            chosen = [p for name, p in trained if rate(name) == lr and (name in decaying) == decay]
            group = {"params": chosen, "weight_decay": weight_decay if decay else 0.0}
            if layer_decay is not None:
                group["lr"] = lr
            if chosen or layer_decay is None:
                groups.append(group)
    return groups


def _rates(
    trained: list[tuple[str, nn.Parameter]], learning_rate: float, layer_decay: float | None
) -> Callable[[str], float]:
    if layer_decay is None:
        return lambda name: learning_rate
    places = dict(_layers(trained))
    last = max((layer for layer in places.values() if layer is not None), default=-1)
    after = False
    depth: dict[str, int] = {}
    for name, _ in trained:
        layer = places[name]
        after = after or layer is not None
        # What stands before the first layer is further away than it, what stands after the last one nearest.
        depth[name] = layer if layer is not None else (last + 1 if after else -1)
    return lambda name: learning_rate * layer_decay ** (last + 1 - depth[name])


def _layers(trained: list[tuple[str, nn.Parameter]]) -> Iterator[tuple[str, int | None]]:
    for name, _ in trained:
        match = _LAYER.search(name)
        yield name, int(match[1]) if match else None
