"""Tensors in checkpoint files, by name: shapes at once, values when asked for, uncopied where possible."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, final
from zipfile import is_zipfile

import torch
from torch import Tensor

from hf_hub_io.checkpoint import Checkpoint, WeightFormat
from hf_hub_io.dtypes import DType
from hf_hub_io.errors import PickleRefusedError
from hf_hub_io.header import TensorInfo
from hf_hub_io.mapped import map_file
from hf_modeling.weights.errors import UnsupportedDTypeError

TORCH_DTYPES: Mapping[DType, torch.dtype] = {
    DType.BOOL: torch.bool,
    DType.F4: torch.float4_e2m1fn_x2,
    DType.U8: torch.uint8,
    DType.I8: torch.int8,
    DType.F8_E5M2: torch.float8_e5m2,
    DType.F8_E4M3: torch.float8_e4m3fn,
    DType.F8_E8M0: torch.float8_e8m0fnu,
    DType.F8_E4M3FNUZ: torch.float8_e4m3fnuz,
    DType.F8_E5M2FNUZ: torch.float8_e5m2fnuz,
    DType.I16: torch.int16,
    DType.U16: torch.uint16,
    DType.F16: torch.float16,
    DType.BF16: torch.bfloat16,
    DType.I32: torch.int32,
    DType.U32: torch.uint32,
    DType.F32: torch.float32,
    DType.C64: torch.complex64,
    DType.F64: torch.float64,
    DType.I64: torch.int64,
    DType.U64: torch.uint64,
}

STORED_DTYPES: Mapping[torch.dtype, DType] = {dtype: stored for stored, dtype in TORCH_DTYPES.items()}


class Source(Protocol):
    """Named tensors to load from. Reading is safe from several threads."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]

    def read(self, name: str) -> Tensor:
        """The tensor; it may share memory with the file, copy-on-write."""
        ...

    def is_mapped(self, tensor: Tensor) -> bool:
        """Whether the tensor's memory is the file's."""
        ...

    def release(self, names: Iterable[str]) -> None:
        """Nothing of these tensors' own memory is in use any more: the system may have it back."""
        ...


def open_source(checkpoint: Checkpoint) -> Source:
    """The tensors of a checkpoint that `discover` found.

    Raises UnsupportedDTypeError, UnsupportedFormatError, PickleRefusedError.
    """
    if checkpoint.format is WeightFormat.SAFETENSORS:
        return SafetensorsSource(checkpoint.tensors)
    if checkpoint.format is WeightFormat.PICKLE:
        return PickleSource(tuple(file.path for file in checkpoint.files))
    from hf_modeling.weights.gguf_source import GgufSource

    return GgufSource(tuple(file.path for file in checkpoint.files))


@final
class SafetensorsSource:
    """Safetensors files, mapped copy-on-write: training in place never changes a file."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._tensors = tensors
        self.shapes: Mapping[str, tuple[int, ...]] = {name: info.shape for name, info in tensors.items()}
        self.dtypes: Mapping[str, torch.dtype] = {name: _torch_dtype(info) for name, info in tensors.items()}
        self._maps = {path: _mapped(path) for path in {info.file: None for info in tensors.values()}}
        self._spans = [
            (start := torch.frombuffer(pages, dtype=torch.uint8).data_ptr(), start + len(pages))
            for pages in self._maps.values()
        ]

    def read(self, name: str) -> Tensor:
        info, dtype = self._tensors[name], self.dtypes[name]
        if not info.nbytes:
            return torch.empty(info.shape, dtype=dtype)
        pages = self._maps[info.file]
        if info.start % dtype.itemsize:  # torch assumes aligned elements; other writers may not align them
            flat = torch.frombuffer(pages, dtype=torch.uint8, count=info.nbytes, offset=info.start).clone()
            return flat.view(dtype).view(_elements(info))
        flat = torch.frombuffer(pages, dtype=dtype, count=info.nbytes // dtype.itemsize, offset=info.start)
        return flat.view(_elements(info))

    def is_mapped(self, tensor: Tensor) -> bool:
        address = tensor.untyped_storage().data_ptr()
        return tensor.device.type == "cpu" and any(start <= address < end for start, end in self._spans)

    def release(self, names: Iterable[str]) -> None:
        if sys.platform != "linux":
            return
        for name in names:
            info = self._tensors[name]
            # Whole pages only: the ones at the edges may hold a neighbour's bytes.
            start, end = (
                -(-info.start // mmap.PAGESIZE) * mmap.PAGESIZE,
                info.end // mmap.PAGESIZE * mmap.PAGESIZE,
            )
            if start < end:
                self._maps[info.file].madvise(mmap.MADV_DONTNEED, start, end - start)


@final
class PickleSource:
    """`.bin` files, read by torch's restricted unpickler, which builds tensors and nothing else."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._tensors: dict[str, Tensor] = {}
        for path in paths:
            self._tensors.update(_unpickled(path))
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: tuple(tensor.shape) for name, tensor in self._tensors.items()
        }
        self.dtypes: Mapping[str, torch.dtype] = {
            name: tensor.dtype for name, tensor in self._tensors.items()
        }

    def read(self, name: str) -> Tensor:
        return self._tensors[name]

    def is_mapped(self, tensor: Tensor) -> bool:
        return False

    def release(self, names: Iterable[str]) -> None:
        for name in names:
            self._tensors.pop(name, None)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return map_file(file.fileno(), writable=True)


def _torch_dtype(info: TensorInfo) -> torch.dtype:
    if (dtype := TORCH_DTYPES.get(info.dtype)) is None:
        raise UnsupportedDTypeError(
            f"{info.file}: tensor {info.name!r} has elements of type {info.dtype.value}, which torch lacks",
            fix="convert the checkpoint to another element type",
            file=info.file,
        )
    return dtype


def _elements(info: TensorInfo) -> tuple[int, ...]:
    """The shape in torch's elements, which hold two values each for 4-bit types."""
    if info.dtype is DType.F4:
        return (*info.shape[:-1], info.shape[-1] // 2)
    return info.shape


def _unpickled(path: Path) -> dict[str, Tensor]:
    from pickle import UnpicklingError

    try:
        loaded: object = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    except (UnpicklingError, RuntimeError) as error:
        raise PickleRefusedError(
            f"{path} holds more than tensors, or is damaged: {str(error).splitlines()[0]}",
            fix="ask the authors for safetensors; this file is not read",
            file=path,
        ) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise PickleRefusedError(
            f"{path} is not a dictionary of tensors",
            fix="save the model's state_dict, or better: safetensors",
            file=path,
        )
    return {str(name): value for name, value in loaded.items()}
