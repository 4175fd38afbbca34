"""What spreads a model over processes: found by entry point, so that this package knows nothing of it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from hf_hub_io.errors import MissingPackageError

if TYPE_CHECKING:
    from hf_hub_io.shards import ShardPlan
    from hf_modeling.arguments import LoadArguments
    from hf_modeling.model import PreTrainedModel

ENTRY_POINTS = "hf_modeling.parallel"
"""The entry point `loader` is a `ParallelLoader`."""
ASKED_FOR = ("tp_plan", "tp_size", "device_mesh")
"""Arguments of `from_pretrained` of which any one asks for a model spread over processes."""

M = TypeVar("M", bound="PreTrainedModel")


class Share(Protocol):
    """What a model that is one process's share knows of the whole."""

    def save(self, directory: str | Path, *, max_shard_size: str | int) -> ShardPlan:
        """Write the whole model as one checkpoint; every process calls it."""
        ...


class ParallelLoader(Protocol):
    """Loads this process's share of a checkpoint."""

    def __call__(self, cls: type[M], path: str | Path, arguments: LoadArguments) -> M: ...


def find_parallel_loader() -> ParallelLoader:
    """The installed loader. Raises MissingPackageError."""
    for entry in entry_points(group=ENTRY_POINTS, name="loader"):
        return cast("ParallelLoader", entry.load())
    raise MissingPackageError("hf-parallel", "a model spread over processes", "pip install hf-parallel")
