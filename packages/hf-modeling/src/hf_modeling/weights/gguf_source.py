"""Tensors of GGUF files under the Hub's names, unpacked one by one as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from hf_config import PreTrainedConfig
from hf_hub_io.gguf import GgmlType, GgufFile, GgufTensor
from hf_modeling.weights.errors import UnsupportedDTypeError
from hf_modeling.weights.gguf_blocks import PLAIN, UNPACKERS, unpack
from hf_modeling.weights.gguf_names import LLAMA3_FACTORS, architecture, gguf_config, hub_name
from hf_modeling.weights.ops import Deinterleave


def read_gguf_config(path: Path) -> PreTrainedConfig:
    """The config that a GGUF file's metadata describes. Raises GgufError, UnsupportedFormatError, ConfigError."""
    file = GgufFile.open(path, writable=True)
    factors = file.tensors.get(LLAMA3_FACTORS)
    numbers = None if factors is None else [float(x) for x in _values(file, factors).tolist()]
    return PreTrainedConfig.from_dict(gguf_config(file, numbers))


@final
class GgufSource:
    """One GGUF file, or the parts of one; packed tensors come out as float32.

    Raises UnsupportedDTypeError for packings that are not read here, UnsupportedFormatError.
    """

    def __init__(self, paths: tuple[Path, ...]) -> None:
        files = [GgufFile.open(path, writable=True) for path in paths]
        name, self._facts = architecture(files[0])
        heads, kv_heads = (
            files[0].metadata.get(f"{name}.attention.{key}") for key in ("head_count", "head_count_kv")
        )
        self._groups = {"q_proj": heads, "k_proj": kv_heads or heads} if self._facts.pairs else {}
        # Llama 3's frequency factors have become part of the config.
        self._tensors: dict[str, tuple[GgufFile, GgufTensor]] = {
            hub_name(tensor.name, self._facts): (file, tensor)
            for file in files
            for tensor in file.tensors.values()
            if tensor.name != LLAMA3_FACTORS
        }
        for _, tensor in self._tensors.values():
            _refuse_unknown(tensor)
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: tensor.shape for name, (_, tensor) in self._tensors.items()
        }
        self.dtypes: Mapping[str, torch.dtype] = {
            name: PLAIN.get(tensor.type, torch.float32) for name, (_, tensor) in self._tensors.items()
        }

    def read(self, name: str) -> Tensor:
        value = self._in_order(name, _values(*self._tensors[name]))
        return value - 1 if self._facts.plus_one and name.endswith("norm.weight") else value

    def packing(self, name: str) -> GgmlType | None:
        """How a matrix is packed; None for plain numbers."""
        _, tensor = self._tensors[name]
        return tensor.type if tensor.type in UNPACKERS and len(tensor.shape) > 1 else None

    def read_packed(self, name: str) -> Tensor:
        """A packed matrix as bytes, with a line for each row."""
        file, tensor = self._tensors[name]
        packed = torch.frombuffer(file.view(tensor.name), dtype=torch.uint8)
        return self._in_order(name, packed.view(*tensor.shape[:-1], -1))

    def _in_order(self, name: str, rows: Tensor) -> Tensor:
        """Rows of queries and keys as the Hub has them."""
        groups = next((n for part, n in self._groups.items() if f".{part}." in name), None)
        if isinstance(groups, int):
            (rows,) = Deinterleave(groups=groups).forward((rows,))
        return rows

    def is_mapped(self, tensor: Tensor) -> bool:
        return False

    def release(self, names: Iterable[str]) -> None:
        pass  # what was read are copies; the file's own pages belong to the system


def _values(file: GgufFile, tensor: GgufTensor) -> Tensor:
    packed = torch.frombuffer(file.view(tensor.name), dtype=torch.uint8)
    dtype = PLAIN.get(tensor.type)
    flat = unpack(tensor.type, packed) if dtype is None else packed.clone().view(dtype)
    return flat.view(tensor.shape)


def _refuse_unknown(tensor: GgufTensor) -> None:
    if tensor.type not in PLAIN and tensor.type not in UNPACKERS:
        raise UnsupportedDTypeError(
            f"{tensor.file}: tensor {tensor.name!r} is packed as {tensor.type.name}, which is not read here",
            fix="use a file packed as one of " + ", ".join(kind.name for kind in (*PLAIN, *UNPACKERS)),
            file=tensor.file,
        )
