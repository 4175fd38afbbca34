"""The decoding step compiled: one graph for every length, by buckets of cache sizes.

A static cache says where to write by a tensor, so the graph of one token serves the next. Only the number of
tokens that the cache has room for is part of its shape, and that is rounded up. Caches are used again by later
calls: a CUDA graph remembers where they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import cast, final

import torch
from torch import Tensor, nn

from hf_config.generation import CompileConfig
from hf_modeling.cache import Cache, Layout
from hf_modeling.cache.static import StaticCache
from hf_modeling.generation.model import LanguageModel

Step = Callable[[Tensor, Cache], Tensor]
"""From the latest tokens (B, 1) and the cache to logits (B, 1, V)."""

SMALLEST = 256
"""Capacity of the smallest cache that a compiled step works on."""
_COMPILED = "_hf_compiled"
"""Attribute of a model that holds its `Compiled`."""


@final
class Compiled:
    """A model's compiled steps, and the caches they run on. Copies of the model start without any."""

    def __init__(self) -> None:
        self.steps: dict[Hashable, Step] = {}
        self._idle: dict[Hashable, list[StaticCache]] = defaultdict(list)

    def __reduce__(self) -> tuple[type[Compiled], tuple[()]]:
        return Compiled, ()

    def take(
        self, layout: Layout, batch: int, tokens: int, dtype: torch.dtype, device: torch.device
    ) -> StaticCache:
        """An empty cache for so many tokens, nobody else's until it is given back."""
        capacity = max(SMALLEST, 1 << (tokens - 1).bit_length())
        idle = self._idle[batch, capacity, dtype, str(device)]
        try:
            cache = idle.pop()
        except IndexError:
            cache = StaticCache(layout, batch=batch, capacity=capacity, dtype=dtype, device=device)
            for tensor in cache.fixed():
                torch._dynamo.mark_static_address(tensor, guard=False)
        cache.reset()
        return cache

    def give_back(self, cache: StaticCache, batch: int, dtype: torch.dtype, device: torch.device) -> None:
        """Let a later call have this cache."""
        self._idle[batch, cache.capacity, dtype, str(device)].append(cache)


def compiled_of(model: LanguageModel) -> Compiled:
    """What was compiled for a model."""
    assert isinstance(model, nn.Module), "what is compiled is a module"
    held: Compiled = model.__dict__.setdefault(_COMPILED, Compiled())
    return held


def compiled_step(model: LanguageModel, config: CompileConfig) -> Step:
    """The model's step under `torch.compile` with these options; made once for a model."""
    steps = compiled_of(model).steps
    options = None if config.options is None else dict(config.options)
    key = (config.backend, config.mode, config.fullgraph, config.dynamic, str(options))
    if key not in steps:

        def step(ids: Tensor, cache: Cache) -> Tensor:
            return model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits

        made = torch.compile(
            step,
            fullgraph=config.fullgraph,
            dynamic=config.dynamic,
            backend=config.backend,
            mode=config.mode if config.backend == "inductor" and options is None else None,
            options=cast("dict[str, str | int | bool | Callable[..., object]] | None", options),
        )
        steps[key] = cast("Step", made)
    return steps[key]


def default_config(device: torch.device) -> CompileConfig:
    """What is compiled with when nobody says otherwise: CUDA graphs where there are any."""
    return CompileConfig(mode="reduce-overhead" if device.type == "cuda" else "default")
