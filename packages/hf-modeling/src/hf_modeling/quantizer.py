"""The joint with packages that read quantized checkpoints: they bring a `Quantizer`, an entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from torch import nn

from hf_modeling.weights.errors import QuantizerMissingError
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import WeightTable

if TYPE_CHECKING:
    from hf_config.quantization import QuantizationConfig

ENTRY_POINTS = "hf_modeling.quantizers"
"""The entry point's name is the quant_method, its object a `QuantizerFactory`."""


class Quantizer(Protocol):
    """One quantization method, set up for one checkpoint."""

    def prepare(self, model: nn.Module, source: Source, table: WeightTable) -> tuple[Source, WeightTable]:
        """Make `model`, which is on meta, and what will be read agree about every packed tensor.

        Replaces modules by ones whose parameters have the packed names, shapes and dtypes; the source may
        offer other tensors than the files hold (unpacked, or packed on the fly), the table rules for them.
        Raises if this machine cannot run the method.
        """
        ...

    def finish(self, model: nn.Module) -> None:
        """All weights are in place: bring them into the form that kernels want, in non-persistent buffers."""
        ...


QuantizerFactory = Callable[["QuantizationConfig"], Quantizer]


def find_quantizer(config: QuantizationConfig, *, where: str) -> Quantizer:
    """The installed quantizer for a checkpoint's method. Raises QuantizerMissingError."""
    method = config.quant_method
    found = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == method:
            factory: QuantizerFactory = entry.load()
            return factory(config)
    raise QuantizerMissingError(method, where=where, known=[entry.name for entry in found])
