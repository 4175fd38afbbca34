"""Writing tensors as safetensors files with one tensor in memory at a time."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from hf_hub_io.atomic import atomic_open, atomic_write_json
from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.dtypes import DType
from hf_hub_io.errors import ShardPlanError
from hf_hub_io.header import MAX_HEADER_BYTES
from hf_hub_io.jsonio import JsonLike
from hf_hub_io.shards import ShardPlan, plan_shards

if TYPE_CHECKING:
    from typing_extensions import Buffer  # in collections.abc from Python 3.12

TensorData: TypeAlias = "Buffer | Callable[[], Buffer]"
"""A tensor's bytes, row-major and little-endian, or a function that gives them when their turn comes."""

PT_METADATA: Mapping[str, str] = MappingProxyType({"format": "pt"})
"""The header text that readers of PyTorch checkpoints expect."""

_DTYPE_ORDER = {dtype: place for place, dtype in enumerate(DType)}


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorBytes:
    """A tensor to be written. When `data` is a function, its result lives only while it is being written."""

    dtype: DType
    shape: tuple[int, ...]
    data: TensorData


def save_tensors(
    directory: str | Path,
    tensors: Mapping[str, TensorBytes],
    *,
    max_shard_size: str | int = "5GB",
    metadata: Mapping[str, str] = PT_METADATA,
    weights_name: str = "model.safetensors",
    groups: Sequence[Sequence[str]] = (),
    index_metadata: Mapping[str, JsonLike] | None = None,
) -> ShardPlan:
    """Saves `tensors` into `directory` as one checkpoint, and says which file each went to.

    The folder changes in one step: a killed save leaves the checkpoint that was there. Other files in it
    stay; weight files and an index of an earlier save under `weights_name` go. To save weights together
    with other files in the same step, call `write_shards` inside an `AtomicDirectory`. Raises
    ShardPlanError, OSError.
    """
    stem, _, suffix = weights_name.rpartition(".")
    old = (weights_name, f"{weights_name}.index.json", f"{stem}-[0-9]*-of-[0-9]*.{suffix}")
    with AtomicDirectory(directory, replaces=old) as stage:
        return write_shards(
            stage,
            tensors,
            max_shard_size=max_shard_size,
            metadata=metadata,
            weights_name=weights_name,
            groups=groups,
            index_metadata=index_metadata,
        )


def write_shards(
    directory: Path,
    tensors: Mapping[str, TensorBytes],
    *,
    max_shard_size: str | int = "5GB",
    metadata: Mapping[str, str] = PT_METADATA,
    weights_name: str = "model.safetensors",
    groups: Sequence[Sequence[str]] = (),
    index_metadata: Mapping[str, JsonLike] | None = None,
) -> ShardPlan:
    """As `save_tensors`, file by file and the index last, for a folder that nobody reads yet."""
    sizes = {name: _nbytes(name, tensor) for name, tensor in tensors.items()}
    plan = plan_shards(sizes, max_shard_size=max_shard_size, weights_name=weights_name, groups=groups)
    for file, names in plan.files.items():
        write_safetensors(directory / file, {name: tensors[name] for name in names}, metadata=metadata)
    if plan.is_sharded:
        atomic_write_json(directory / plan.index_name, plan.index(index_metadata))
    return plan


def write_safetensors(
    path: str | Path, tensors: Mapping[str, TensorBytes], *, metadata: Mapping[str, str] = PT_METADATA
) -> None:
    """Writes one safetensors file, atomically, laid out as the reference writer does: wide types first.

    Raises ShardPlanError when a tensor's data does not fit its dtype and shape.
    """
    path = Path(path)
    names = sorted(tensors, key=lambda name: (-_DTYPE_ORDER[tensors[name].dtype], name))
    header = _header({name: tensors[name] for name in names}, metadata, path)
    with atomic_open(path) as file:
        file.write(header)
        for name in names:
            tensor = tensors[name]
            data = tensor.data() if callable(tensor.data) else tensor.data
            file.write(_bytes(name, tensor, data))
            del data  # the next tensor is made only after this one is gone


def _header(tensors: Mapping[str, TensorBytes], metadata: Mapping[str, str], path: Path) -> bytes:
    fields: dict[str, JsonLike] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + _nbytes(name, tensor)
        fields[name] = {"dtype": tensor.dtype.value, "shape": tensor.shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, default=dict).encode()
    text += b" " * (-len(text) % 8)  # so that data starts at a multiple of 8
    if len(text) > MAX_HEADER_BYTES:
        raise ShardPlanError(
            f"the header of {path} would be {len(text):,} bytes; the format allows {MAX_HEADER_BYTES:,}",
            fix="use a smaller max_shard_size, so that fewer tensors share a file",
            file=path,
        )
    return struct.pack("<Q", len(text)) + text


def _nbytes(name: str, tensor: TensorBytes) -> int:
    if name == "__metadata__":
        raise ShardPlanError("no tensor can be called __metadata__ in a safetensors file", fix="rename it")
    if any(size < 0 for size in tensor.shape):
        raise ShardPlanError(f"tensor {name!r} has the shape {list(tensor.shape)}", fix="sizes must be >= 0")
    try:
        return tensor.dtype.nbytes(tensor.shape)
    except ValueError as error:
        raise ShardPlanError(f"tensor {name!r}: {error}", fix="pad its last dimension") from None


def _bytes(name: str, tensor: TensorBytes, data: Buffer) -> memoryview:
    view, expected = memoryview(data), _nbytes(name, tensor)
    if view.nbytes != expected or not view.c_contiguous:
        found = f"{view.nbytes:,} bytes" if view.c_contiguous else "bytes that are not contiguous"
        raise ShardPlanError(
            f"tensor {name!r} has {found}; {tensor.dtype.value} {list(tensor.shape)} takes {expected:,}",
            fix="give the row-major bytes of exactly this dtype and shape",
        )
    # A view with a zero in its shape cannot be cast.
    return view.cast("B") if expected else memoryview(b"")
