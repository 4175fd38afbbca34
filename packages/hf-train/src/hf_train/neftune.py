"""NEFTune: noise on the input embeddings while training (arXiv 2310.05914)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt

import torch
from torch import Tensor, nn

from hf_train.data.columns import inner_model
from hf_train.errors import TrainingModelError


@contextmanager
def noisy_embeddings(model: nn.Module, alpha: float | None) -> Iterator[None]:
    """A block in which the embeddings (B, T, D) get uniform noise of at most alpha / sqrt(T * D), in training mode.

    Nothing happens for `alpha` None. Raises TrainingModelError for a model without token embeddings.
    """
    if alpha is None:
        yield
        return
    bound_alpha = alpha

    def add_noise(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> Tensor:
        if not module.training:
            return output
        bound = bound_alpha / sqrt(output.shape[1] * output.shape[2])
        return output + torch.empty_like(output).uniform_(-bound, bound)

    handle = _embeddings(model).register_forward_hook(add_noise)
    try:
        yield
    finally:
        handle.remove()


def _embeddings(model: nn.Module) -> nn.Module:
    inner = inner_model(model)
    find = getattr(inner, "get_input_embeddings", None)
    found = find() if find is not None else None
    if not isinstance(found, nn.Module):
        raise TrainingModelError(
            f"neftune_noise_alpha is set, and {type(inner).__name__} has no token embeddings to add noise to",
            fix="leave out neftune_noise_alpha, or give the model a get_input_embeddings method",
        )
    return found
