"""The joint with packages that read quantized checkpoints: they bring a `Quantizer`, an entry point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from hf_hub_io.jsonio import read_json_object
from hf_modeling.weights.errors import QuantizerMissingError
from hf_modeling.weights.fill import COMPUTE_DTYPES
from hf_modeling.weights.source import Source
from hf_modeling.weights.table import WeightTable

if TYPE_CHECKING:
    from hf_config.quantization import QuantizationConfig
    from hf_hub_io.repo import Repo

ENTRY_POINTS = "hf_modeling.quantizers"
"""The entry point's name is the quant_method, its object a `QuantizerFactory`."""

SIDECARS: Mapping[str, str] = {
    "hf_quant_config.json": "modelopt",
    "quantize_config.json": "gptq",
    "quant_config.json": "awq",
}
"""Files that say how weights are packed where config.json does not, and the method that wrote each."""


@dataclass(frozen=True, kw_only=True)
class QuantizerRequest:
    """What is known when a quantizer is chosen.

    stored: what the checkpoint says about itself; None if its weights are plain numbers.
    asked: what the caller wants; None if the checkpoint decides. At least one of the two is given.
    metadata: the texts in the headers of the checkpoint's safetensors files.
    sidecar: reads another file of the repository; None where there is no such file.
    """

    stored: QuantizationConfig | None
    asked: QuantizationConfig | None
    dtype: torch.dtype
    where: str
    metadata: Mapping[str, str]
    sidecar: Callable[[str], bytes | None]

    @property
    def method(self) -> str:
        """The quant_method that decides who reads the weights."""
        config = self.stored or self.asked
        assert config is not None, "a request has at least one config"
        return config.quant_method


class Receipt(Protocol):
    """What became of every weight; printing it gives a table."""

    def to_json(self) -> str:
        """The same as JSON."""
        ...


class Quantizer(Protocol):
    """One quantization method, set up for one model."""

    @property
    def config(self) -> QuantizationConfig:
        """What a config.json beside the model's weights has to say."""
        ...

    @property
    def report(self) -> Receipt:
        """What was decided about every weight, complete after `finish`."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the headers of saved weight files have to say, beside what they always say."""
        ...

    @property
    def sidecars(self) -> Mapping[str, bytes]:
        """Files to write beside saved weights, by name."""
        ...

    def prepare(self, model: nn.Module, source: Source, table: WeightTable) -> tuple[Source, WeightTable]:
        """Make `model`, which is on meta, and what will be read agree about every packed tensor.

        Replaces modules by ones that hold packed tensors; the source may offer other tensors than the files
        hold (unpacked, or packed on the fly), the table has rules for them. Raises if this machine cannot run
        the method.
        """
        ...

    def finish(self, model: nn.Module) -> None:
        """All weights are in place: bring them into the form that kernels want, in non-persistent buffers."""
        ...

    def table(self, table: WeightTable) -> WeightTable:
        """`table` with rules for packed tensors, by which the model is saved as well as loaded."""
        ...

    def dequantize(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Give every module plain weights of `dtype` again; the quantizer is of no use afterwards."""
        ...


QuantizerFactory = Callable[[QuantizerRequest], Quantizer]


def find_quantizer(request: QuantizerRequest) -> Quantizer:
    """The installed quantizer for a method, set up as requested. Raises QuantizerMissingError."""
    found = entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == request.method:
            factory: QuantizerFactory = entry.load()
            return factory(request)
    raise QuantizerMissingError(request.method, where=request.where, known=[entry.name for entry in found])


def settings_beside(repo: Repo, source: Source) -> QuantizationConfig | None:
    """How weights are packed, by a file of its own as older tools write it; None if all are plain numbers."""
    if all(dtype in COMPUTE_DTYPES for dtype in source.dtypes.values()):
        return None
    from hf_config.quantization import QuantizationConfig

    for name, method in SIDECARS.items():
        if (path := repo.find(name)) is not None:
            return QuantizationConfig.from_dict({"quant_method": method, **_flat(path)})
    return None


def sidecar_reader(repo: Repo) -> Callable[[str], bytes | None]:
    """Reads a file of the repository; None where there is no such file."""

    def read(name: str) -> bytes | None:
        path = repo.find(name)
        return None if path is None else path.read_bytes()

    return read


def _flat(path: Path) -> dict[str, object]:
    """The file's settings; one level may hold all but the producer's name."""
    settings: dict[str, object] = dict(read_json_object(path))
    inner = settings.pop("quantization", None)
    return {**settings, **inner} if isinstance(inner, dict) else settings
