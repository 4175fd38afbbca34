"""`PreTrainedModel`: what every model class shares, whatever its family and head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from hf_modeling.init import allocate, initialize

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.families.family import Family


class PreTrainedModel(nn.Module):
    """A model of one family with one head, made from its config.

    A skeleton (`CausalLM`, `MaskedLM`, ...) derives from this class and builds its parts in `__init__`; a
    family class (`LlamaForCausalLM`) derives from a skeleton and carries nothing but `family`. A skeleton's
    constructor is

        super().__init__(config)
        with torch.device("meta"):
            self.model = ...          # parameters only; nothing is computed yet
        self.materialize()            # random weights, unless the caller asked for meta

    so `LlamaForCausalLM(config)` is a randomly initialised model, and under `with torch.device("meta")` it
    costs no memory: that is how loading starts. Buffers that no checkpoint holds (`persistent=False`) are
    constants: build them with an explicit `device="cpu"`, so that they are real even then.
    """

    family: ClassVar[Family]
    """The facts of the family; set on family classes."""
    task: ClassVar[str] = "base"
    """Which of the family's tasks this head serves; a base model has no `model.` before its names."""

    config: PreTrainedConfig

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config

    def materialize(self) -> None:
        """Give every parameter memory and random values on the ambient device; nothing under `meta`."""
        device = torch.get_default_device()
        if device.type != "meta":
            allocate(self, device)
            initialize(self)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first floating-point parameter."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def device(self) -> torch.device:
        """Where the first parameter is."""
        return next(self.parameters()).device

    def num_parameters(self, *, only_trainable: bool = False) -> int:
        """How many numbers the model holds; tied weights count once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)
