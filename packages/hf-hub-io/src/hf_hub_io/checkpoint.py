"""The weights of a repository as data: which files, which tensors, and where each tensor's bytes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from hf_hub_io.errors import ShardIndexError, UnsafePathError
from hf_hub_io.header import TensorInfo, read_header
from hf_hub_io.jsonio import parse_json_object
from hf_hub_io.paths import safe_name

_SOME = 5  # names shown when many are wrong


class WeightFormat(StrEnum):
    """How a weight file is encoded."""

    SAFETENSORS = "safetensors"
    PICKLE = "pickle"
    GGUF = "gguf"


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """One file of a checkpoint: its name in the repository and its path on this machine."""

    name: str
    path: Path
    format: WeightFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The weights of a repository, found and checked, not read.

    `tensors` maps every tensor of safetensors files to its bytes, file by file in the order of the data.
    It is empty for pickle, whose content only a tensor library can list, and for GGUF, whose element
    types are its own: open those files with `GgufFile`. `metadata` is the headers' own text, merged over
    the files in order.
    """

    format: WeightFormat
    files: tuple[WeightFile, ...]
    tensors: Mapping[str, TensorInfo] = field(repr=False)
    metadata: Mapping[str, str]
    index: Path | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data; for formats other than safetensors, the size of the files."""
        if self.format is WeightFormat.SAFETENSORS:
            return sum(tensor.nbytes for tensor in self.tensors.values())
        return sum(file.path.stat().st_size for file in self.files)


def weight_format(name: str) -> WeightFormat:
    """The format that a weight file's name promises; what is unknown counts as pickle, the guarded one."""
    if name.endswith(".safetensors"):
        return WeightFormat.SAFETENSORS
    return WeightFormat.GGUF if name.endswith(".gguf") else WeightFormat.PICKLE


def assemble(
    files: tuple[WeightFile, ...], *, index: Path | None, weight_map: Mapping[str, str] | None
) -> Checkpoint:
    """A checkpoint of `files`, all headers checked, and compared with the index where there is one.

    `weight_map` is the index with file names as in the repository.

    Raises ShardIndexError, HeaderError, TruncatedFileError.
    """
    formats = {file.format for file in files}
    if len(formats) > 1:
        raise ShardIndexError(
            f"{index} mixes {' and '.join(sorted(f.value for f in formats))} files",
            fix="save the checkpoint again in one format",
            file=index,
        )
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str] = {}
    if formats == {WeightFormat.SAFETENSORS}:
        for file in files:
            header = read_header(file.path)
            if twice := tensors.keys() & header.tensors.keys():
                raise ShardIndexError(
                    f"{file.path} holds {len(twice)} tensors that an earlier file holds too: {some(twice)}",
                    fix="save the checkpoint again",
                    file=file.path,
                )
            tensors.update(header.tensors)
            metadata.update(header.metadata)
        if index is not None and weight_map is not None:
            _compare(index, weight_map, tensors, {file.path: file.name for file in files})
    return Checkpoint(
        format=formats.pop(),
        files=files,
        tensors=MappingProxyType(tensors),
        metadata=MappingProxyType(metadata),
        index=index,
    )


def _compare(
    index: Path, weight_map: Mapping[str, str], tensors: Mapping[str, TensorInfo], names: Mapping[Path, str]
) -> None:
    """The index and the shards tell the same story about every tensor."""
    lacking = [name for name in weight_map if name not in tensors]
    if lacking:
        file = weight_map[lacking[0]]
        raise ShardIndexError(
            f"{index} lists {len(lacking)} tensors that its files lack, e.g. in {file}: {some(lacking)}",
            fix=f"fetch {file} and {index.name} of the same commit again, or save the checkpoint again",
            file=index,
        )
    extra = [name for name in tensors if name not in weight_map]
    if extra:
        raise ShardIndexError(
            f"{index} does not list {len(extra)} tensors that its files hold: {some(extra)}",
            fix="fetch the index and its files of one commit again, or save the checkpoint again",
            file=index,
        )
    for name, info in tensors.items():
        if names[info.file] != weight_map[name]:
            raise ShardIndexError(
                f"{index} places tensor {name!r} in {weight_map[name]}, and it is in {names[info.file]}",
                fix="fetch the index and its files of one commit again, or save the checkpoint again",
                file=index,
            )


def read_weight_map(index: Path) -> dict[str, str]:
    """The `weight_map` of a shard index: tensor name to file name, every file name checked.

    Raises ShardIndexError, JsonFileError, UnsafePathError.
    """
    content = parse_json_object(index.read_bytes(), source=str(index), unique_keys=True)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ShardIndexError(
            f"{index} has no weight_map that names tensors and files",
            fix=f"fetch {index.name} again, or save the checkpoint again",
            file=index,
        )
    names: dict[str, str] = {}
    for tensor, file in weight_map.items():
        if not isinstance(file, str):
            raise ShardIndexError(
                f"{index} places tensor {tensor!r} in {file!r}, which is not a file name",
                fix=f"fetch {index.name} again",
                file=index,
            )
        names[tensor] = file
    for file in set(names.values()):
        try:
            safe_name(file)
        except UnsafePathError as error:
            raise UnsafePathError(f"{index}: {error.what}", fix=error.fix) from None
    return names


def some(names: set[str] | list[str]) -> str:
    """A few of many names, for a message."""
    shown = sorted(names)[:_SOME]
    return ", ".join(shown) + (", ..." if len(names) > _SOME else "")
