"""A model's own first layers as its assistant."""

from __future__ import annotations

import copy

from torch import nn

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.model import LanguageModel
from hf_modeling.heads.causal_lm import CausalLM


def first_layers(model: LanguageModel, layers: int) -> CausalLM:
    """The same model without its later layers, sharing all weights: its own assistant (early exit).

    Raises:
        OptionError: the model has no such layers to leave out.
    """
    if not isinstance(model, CausalLM) or not 0 < layers < len(model.model.layers):
        raise OptionError("assistant_early_exit", layers, "fewer layers than the decoder has, and at least 1")
    short = copy.copy(model)
    short._modules = dict(model._modules)
    decoder = copy.copy(model.model)
    decoder._modules = dict(model.model._modules)
    decoder.layers = nn.ModuleList(list(model.model.layers)[:layers])
    decoder.cache_layout = model.model.cache_layout[:layers]
    short.model = decoder
    return short
