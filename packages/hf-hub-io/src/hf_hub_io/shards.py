"""How tensors are spread over files: size limits, file names, and the index that ties them together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from hf_hub_io.errors import ShardPlanError
from hf_hub_io.jsonio import JsonLike

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardPlan:
    """Which tensors go to which file, in writing order; `total_size` is in bytes of tensor data."""

    files: Mapping[str, tuple[str, ...]]
    index_name: str
    total_size: int

    @property
    def is_sharded(self) -> bool:
        """Whether an index file is needed."""
        return len(self.files) > 1

    def index(self, metadata: Mapping[str, JsonLike] | None = None) -> dict[str, JsonLike]:
        """The content of the index file."""
        weight_map = {tensor: file for file, tensors in self.files.items() for tensor in tensors}
        return {
            "metadata": {**(metadata or {}), "total_size": self.total_size},
            "weight_map": dict(sorted(weight_map.items())),
        }


def parse_size(size: str | int) -> int:
    """Bytes of a size such as `5_000_000`, `"5GB"` (10^9) or `"5GiB"` (2^30). Raises ShardPlanError."""
    if isinstance(size, int):
        value = size
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", size)
        unit = _UNITS.get(match.group(2).upper()) if match else None
        if match is None or unit is None:
            raise ShardPlanError(
                f"the size {size!r} is not a number with a unit",
                fix='give bytes as an int, or text such as "500MB", "5GB" or "4GiB"',
            )
        value = int(float(match.group(1)) * unit)
    if value <= 0:
        raise ShardPlanError(f"the size {size!r} is not positive", fix='give a size such as "5GB"')
    return value


def plan_shards(
    sizes: Mapping[str, int],
    *,
    max_shard_size: str | int = "5GB",
    weights_name: str = "model.safetensors",
    groups: Sequence[Sequence[str]] = (),
) -> ShardPlan:
    """A plan that fills files in the order of `sizes` (tensor name to bytes) up to `max_shard_size`.

    A file may exceed the limit only when it holds a single tensor or a single group. Tensors of one group
    stay in one file, for data that is useless apart (a packed weight and its scale). One file is called
    `weights_name`; more are called `model-00001-of-00002.safetensors` and so on, as the Hub expects.
    Raises ShardPlanError.
    """
    limit = parse_size(max_shard_size)
    shards: list[list[str]] = []
    filling: list[str] = []
    filled = 0
    for unit in _units(sizes, groups):
        need = sum(sizes[name] for name in unit)
        if need > limit:  # alone in a file, while the file being filled stays open
            shards.append(list(unit))
            continue
        if filled + need > limit:
            shards.append(filling)
            filling, filled = [], 0
        filling += unit
        filled += need
    if filling:
        shards.append(filling)
    path = PurePosixPath(weights_name)
    if len(shards) > 99_999:
        raise ShardPlanError(
            f"{len(sizes)} tensors would need {len(shards)} files of {limit:,} bytes",
            fix="use a larger max_shard_size",
        )
    if len(shards) <= 1:
        names = [weights_name]
        shards = shards or [[]]
    else:
        names = [f"{path.stem}-{i:05d}-of-{len(shards):05d}{path.suffix}" for i in range(1, len(shards) + 1)]
    return ShardPlan(
        files=MappingProxyType({name: tuple(shard) for name, shard in zip(names, shards, strict=True)}),
        index_name=f"{weights_name}.index.json",
        total_size=sum(sizes.values()),
    )


def _units(sizes: Mapping[str, int], groups: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The tensors in order, those of a group together at the place of its first."""
    group_of: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for name in group:
            if name not in sizes or name in group_of:
                problem = "in two groups" if name in group_of else "not among the tensors"
                raise ShardPlanError(
                    f"the grouped tensor {name!r} is {problem}", fix="list every tensor in one group"
                )
            group_of[name] = tuple(group)
    units: dict[tuple[str, ...], None] = {}
    for name in sizes:
        units.setdefault(group_of.get(name, (name,)))
    return list(units)
