"""The decoding step compiled: one graph for every length, by buckets of cache sizes.

A static cache says where to write by a tensor, so the graph of one token serves the next. Only the number of
tokens that the cache has room for is part of its shape, and that is rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import cast

import torch
from torch import Tensor, nn

from hf_config.generation import CompileConfig
from hf_modeling.cache import Cache
from hf_modeling.generation.model import LanguageModel

Step = Callable[[Tensor, Cache], Tensor]
"""From the latest tokens (B, 1) and the cache to logits (B, 1, V)."""

SMALLEST = 256
"""Capacity of the smallest cache that a compiled step works on."""
_STEPS = "_hf_compiled_steps"
"""Attribute of a model that holds its compiled steps."""


def bucket(tokens: int) -> int:
    """The capacity for so many tokens: powers of two, so that a longer text rarely needs another graph."""
    return max(SMALLEST, 1 << (tokens - 1).bit_length())


def compiled_step(model: LanguageModel, config: CompileConfig) -> Step:
    """The model's step under `torch.compile` with these options; made once for a model."""
    assert isinstance(model, nn.Module), "what is compiled is a module"
    steps: dict[Hashable, Step] = model.__dict__.setdefault(_STEPS, {})
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
