"""Checkpoints as they are, without a model: some tensors by pattern, and `.bin` to safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Array, c_char
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from torch import Tensor

from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.discover import PICKLE_NAME, discover
from hf_hub_io.repo import Repo
from hf_hub_io.shards import ShardPlan
from hf_hub_io.write import TensorBytes, write_shards
from hf_modeling.weights.save import buffer_of
from hf_modeling.weights.source import STORED_DTYPES, open_source


def read_tensors(
    path: str | Path,
    *patterns: str,
    revision: str | None = None,
    subfolder: str = "",
    local_files_only: bool = False,
    weights_name: str | None = None,
    allow_pickle: bool = False,
) -> Iterator[tuple[str, Tensor]]:
    """The checkpoint's tensors whose names on disk fit a pattern (`"*.embed_tokens.*"`), one after the other.

    They share the file's pages, copy-on-write; what no pattern names is not read. Raises as `discover`.
    """
    repo = Repo.open(path, revision=revision, subfolder=subfolder, local_files_only=local_files_only)
    source = open_source(discover(repo, weights_name=weights_name, allow_pickle=allow_pickle))
    for name in source.shapes:
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns):
            yield name, source.read(name)


def convert_to_safetensors(
    path: str | Path, directory: str | Path, *, max_shard_size: str | int = "5GB"
) -> ShardPlan:
    """Write the pickle checkpoint at `path` as safetensors files into `directory`: same names, same bits.

    The files are read by torch's restricted unpickler. Other files are not copied. Raises PickleRefusedError,
    and as `discover`.
    """
    tensors = {
        name: TensorBytes(
            dtype=STORED_DTYPES[tensor.dtype],
            shape=tuple(tensor.shape),
            data=partial(_bytes, tensor),
        )
        for name, tensor in read_tensors(path, weights_name=PICKLE_NAME, allow_pickle=True)
    }
    with AtomicDirectory(directory) as stage:
        return write_shards(stage, tensors, max_shard_size=max_shard_size)


def _bytes(tensor: Tensor) -> Array[c_char]:
    return buffer_of(tensor.contiguous())
