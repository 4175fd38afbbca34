"""GGUF: tensors of a file stay packed as they are there, or plain weights are packed alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor

from hf_config.quantization import GgufConfig
from hf_hub_io.gguf import GgmlType
from hf_modeling.weights.gguf_blocks import UNPACKERS
from hf_modeling.weights.gguf_source import GgufSource
from hf_modeling.weights.source import Source
from hf_quant.codec import Codec
from hf_quant.codecs.ggml import Ggml
from hf_quant.errors import QuantizationConfigError
from hf_quant.formats.ggml import PACKERS
from hf_quant.method import Beside, Method, Place

_SUFFIXES: Mapping[str, GgmlType] = {f"weight.{kind.name}": kind for kind in UNPACKERS}


@final
class PackedGguf:
    """A GGUF file whose packed matrices come as bytes, under names that end in their type."""

    def __init__(self, plain: GgufSource) -> None:
        self._plain = plain
        kinds = {name: plain.packing(name) for name in plain.shapes}
        self._packed = {f"{name}.{kind.name}": name for name, kind in kinds.items() if kind is not None}
        rows = {name: plain.shapes[inner] for name, inner in self._packed.items()}
        gone = set(self._packed.values())
        self.shapes: Mapping[str, tuple[int, ...]] = {
            **{name: shape for name, shape in plain.shapes.items() if name not in gone},
            **{name: _bytes(shape, _kind(name)) for name, shape in rows.items()},
        }
        self.dtypes: Mapping[str, torch.dtype] = {
            name: torch.uint8 if name in self._packed else plain.dtypes[name] for name in self.shapes
        }

    def read(self, name: str) -> Tensor:
        inner = self._packed.get(name)
        return self._plain.read(name) if inner is None else self._plain.read_packed(inner)

    def is_mapped(self, tensor: Tensor) -> bool:
        return self._plain.is_mapped(tensor)

    def release(self, names: Iterable[str]) -> None:
        self._plain.release(self._packed.get(name, name) for name in names)


def _kind(name: str) -> GgmlType:
    return GgmlType[name.rpartition(".")[2]]


def _bytes(shape: tuple[int, ...], kind: GgmlType) -> tuple[int, ...]:
    return (*shape[:-1], shape[-1] // kind.block * kind.block_bytes)


def offered(source: Source, beside: Beside) -> Source:
    """A GGUF file's tensors packed; other checkpoints are packed as they are."""
    return PackedGguf(source) if isinstance(source, GgufSource) else source


def packed(config: GgufConfig, place: Place, beside: Beside) -> Codec | None:
    """The type that the tensor's name tells."""
    return next((Ggml(kind=kind) for suffix, kind in _SUFFIXES.items() if suffix in place.stored), None)


def create(config: GgufConfig, place: Place) -> Codec | None:
    """The type that the settings name. Raises QuantizationConfigError."""
    name = (config.ggml_type or "Q8_0").upper()
    if name not in GgmlType.__members__ or GgmlType[name] not in PACKERS:
        raise QuantizationConfigError(
            f"weights cannot be packed as {config.ggml_type!r} here",
            fix="ggml_type is one of " + ", ".join(kind.name for kind in PACKERS),
        )
    return Ggml(kind=GgmlType[name])


GGUF = Method(
    name="gguf",
    config=GgufConfig,
    suffixes=frozenset(_SUFFIXES),
    packed=packed,
    create=create,
    source=offered,
)
