"""Finding the weights of a repository under the names that savers use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hf_hub_io.checkpoint import (
    Checkpoint,
    WeightFile,
    WeightFormat,
    assemble,
    read_weight_map,
    weight_format,
)
from hf_hub_io.errors import (
    OfflineMissError,
    PickleRefusedError,
    ShardIndexError,
    ShardMissingError,
    WeightsNotFoundError,
)
from hf_hub_io.paths import safe_name
from hf_hub_io.repo import Repo

SAFETENSORS_NAME = "model.safetensors"
PICKLE_NAME = "pytorch_model.bin"
_INDEX_SUFFIX = ".index.json"
_GGUF_SPLIT = re.compile(r"(?P<stem>.*)-\d{5}-of-(?P<count>\d{5})\.gguf")
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt", ".pth", _INDEX_SUFFIX)


def discover(
    repo: Repo, *, variant: str | None = None, weights_name: str | None = None, allow_pickle: bool = False
) -> Checkpoint:
    """The checkpoint in `repo`: a safetensors file or the files of a shard index; pickle only when allowed.

    `variant` "fp16" looks for `model.fp16.safetensors`. `weights_name` replaces the standard names: a
    `.safetensors`, `.bin` or `.gguf` file, or an `.index.json`. Every header is checked and every index
    compared with its shards.

    Raises WeightsNotFoundError, PickleRefusedError, ShardMissingError, ShardIndexError, HeaderError,
    UnsafePathError, and what fetching from the Hub raises.
    """
    bases = (SAFETENSORS_NAME, PICKLE_NAME) if weights_name is None else (safe_name(weights_name),)
    for base in bases:
        # Asking for a pickle file would fetch it, so without an opt-in it is only looked up.
        if weight_format(base.removesuffix(_INDEX_SUFFIX)) is WeightFormat.PICKLE and not allow_pickle:
            if found := next((name for name in _spellings(base, variant) if repo.has(name)), None):
                raise _pickle_refused(repo, found)
            continue
        for name in _spellings(base, variant):
            if (path := repo.find(name)) is None:
                continue
            if name.endswith(".json"):
                return _sharded(repo, name)
            if _GGUF_SPLIT.fullmatch(name):
                return assemble(_gguf_parts(repo, name), index=None, weight_map=None)
            file = WeightFile(name=name, path=path, format=weight_format(name))
            return assemble((file,), index=None, weight_map=None)
    _raise_if_offline(repo, next(_spellings(bases[0], variant)))
    raise _nothing_found(repo, [name for base in bases for name in _spellings(base, variant)], variant)


def _spellings(base: str, variant: str | None) -> Iterator[str]:
    """The names under which savers put `base`: the file itself first, then its index."""
    if base.endswith(_INDEX_SUFFIX):
        yield base
        return
    if variant is None:
        yield base
        yield base + _INDEX_SUFFIX
        return
    stem, _, suffix = base.rpartition(".")
    yield f"{stem}.{variant}.{suffix}"
    yield f"{base}.index.{variant}.json"  # the peer's spelling
    yield f"{stem}.{variant}.{suffix}{_INDEX_SUFFIX}"  # huggingface_hub's spelling


def _sharded(repo: Repo, index_name: str) -> Checkpoint:
    index = repo.file(index_name)
    folder = index_name.rpartition("/")[0]
    weight_map = read_weight_map(index)
    shards = {shard: f"{folder}/{shard}" if folder else shard for shard in weight_map.values()}
    paths = repo.fetch(tuple(shards.values()))
    for shard, name in shards.items():
        if paths[name] is None:
            _raise_if_offline(repo, name)
            count = sum(value == shard for value in weight_map.values())
            raise ShardMissingError(
                f"{index} places {count} tensors in {shard}, and {repo.id} has no such file",
                fix=f"put {shard} next to {index.name}, or save the checkpoint again",
                file=index,
            )
    if weight_format(index_name.partition(".index.")[0]) is WeightFormat.SAFETENSORS and (
        odd := [shard for shard in shards if weight_format(shard) is not WeightFormat.SAFETENSORS]
    ):
        raise ShardIndexError(
            f"{index} is an index of safetensors files and names {odd[0]}",
            fix="save the checkpoint again in one format",
            file=index,
        )
    files = tuple(
        WeightFile(name=name, path=path, format=weight_format(name))
        for name in shards.values()
        if (path := paths[name]) is not None
    )
    full = {tensor: shards[shard] for tensor, shard in weight_map.items()}
    return assemble(files, index=index, weight_map=full)


def _gguf_parts(repo: Repo, name: str) -> tuple[WeightFile, ...]:
    match = _GGUF_SPLIT.fullmatch(name)
    assert match is not None, "the caller matched the name"
    count = int(match["count"])
    names = tuple(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf" for i in range(1, count + 1))
    paths = repo.fetch(names)
    files = tuple(
        WeightFile(name=part, path=path, format=WeightFormat.GGUF)
        for part in names
        if (path := paths[part]) is not None
    )
    if len(files) < count:
        missing = next(part for part in names if paths[part] is None)
        _raise_if_offline(repo, missing)
        raise ShardMissingError(
            f"{name} is one of {count} parts, and {repo.id} has no {missing}",
            fix=f"put {missing} next to {name}",
            file=files[0].path,
        )
    return files


def _raise_if_offline(repo: Repo, name: str) -> None:
    """Offline, a file that is not cached may well exist: that is another mistake, with another fix."""
    why = repo.why_missing(name)
    if isinstance(why, OfflineMissError):
        raise why


def _pickle_refused(repo: Repo, name: str) -> PickleRefusedError:
    return PickleRefusedError(
        f"{repo.id} has its weights only in {name}, a pickle file, which can run code when it is read",
        fix="ask the authors for safetensors, or pass allow_pickle=True for a restricted unpickler",
    )


def _nothing_found(repo: Repo, wanted: Sequence[str], variant: str | None) -> WeightsNotFoundError:
    there = [name for name in repo.list() if name.endswith(_WEIGHT_SUFFIXES)]
    where = f"{repo.id}/{repo.subfolder}" if repo.subfolder else repo.id
    if not there:
        fix = "check the repository and subfolder; no file in it looks like weights"
    elif variant is not None:
        fix = f"use another variant or none; its weight files are {', '.join(there[:5])}"
    else:
        fix = f"pass weights_name, variant or subfolder; its weight files are {', '.join(there[:5])}"
    return WeightsNotFoundError(f"{where} has none of {', '.join(wanted)}", fix=fix)
