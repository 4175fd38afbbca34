"""What ranks say to each other: every collective and message of a stretch of code, counted and weighed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast, final

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import GroupName
from torch.utils._python_dispatch import TorchDispatchMode

from hf_parallel.mesh import ParallelDims, View

Kind = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send", "broadcast"]

# Operators by their names in torch's two namespaces: the functional ones, and those behind torch.distributed.
_KINDS: Mapping[str, Kind] = {
    "_c10d_functional::all_reduce": "all_reduce",
    "_c10d_functional::all_gather_into_tensor": "all_gather",
    "_c10d_functional::reduce_scatter_tensor": "reduce_scatter",
    "_c10d_functional::all_to_all_single": "all_to_all",
    "c10d::allreduce_": "all_reduce",
    "c10d::allgather_": "all_gather",
    "c10d::_allgather_base_": "all_gather",
    "c10d::allgather_into_tensor_coalesced_": "all_gather",
    "c10d::_reduce_scatter_base_": "reduce_scatter",
    "c10d::reduce_scatter_": "reduce_scatter",
    "c10d::reduce_scatter_tensor_coalesced_": "reduce_scatter",
    "c10d::alltoall_base_": "all_to_all",
    "c10d::alltoall_": "all_to_all",
    "c10d::send": "send",
    "c10d::broadcast_": "broadcast",
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One collective, or one tensor sent. nbytes: of the whole buffer, before sharding or after gathering."""

    kind: Kind
    ranks: tuple[int, ...]
    nbytes: int

    @property
    def wire_bytes(self) -> int:
        """Bytes this rank puts on the wire by the ring algorithm, the least there can be."""
        n = len(self.ranks)
        match self.kind:
            case "all_reduce":
                return 2 * self.nbytes * (n - 1) // n
            case "all_gather" | "reduce_scatter" | "all_to_all":
                return self.nbytes * (n - 1) // n
            case "send" | "broadcast":
                return self.nbytes


@final
@dataclass(kw_only=True)
class Record:
    """The messages of a stretch of code, in order."""

    messages: list[Message] = field(default_factory=list)

    def counts(self, *, among: Sequence[int] | None = None) -> dict[Kind, int]:
        """How many messages of each kind, all of them or those among some ranks."""
        return dict(Counter(m.kind for m in self._of(among)))

    def nbytes(self, *, among: Sequence[int] | None = None) -> dict[Kind, int]:
        """Whole buffers' bytes of each kind."""
        total: Counter[Kind] = Counter()
        for message in self._of(among):
            total[message.kind] += message.nbytes
        return dict(total)

    def wire_bytes(self, *, among: Sequence[int] | None = None) -> int:
        """Bytes that this rank had to send."""
        return sum(message.wire_bytes for message in self._of(among))

    def by_axis(self, dims: ParallelDims) -> dict[View, dict[Kind, int]]:
        """Counts by the axis of the layout whose ranks spoke; axes of one rank are left out."""
        views: tuple[View, ...] = ("tp", "cp", "pp", "dp_replicate", "fsdp", "ep", "efsdp", "data")
        found: dict[View, dict[Kind, int]] = {}
        seen: set[tuple[int, ...]] = set()
        for view in views:
            ranks = tuple(dist.get_process_group_ranks(dims.group(view)))
            if len(ranks) > 1 and ranks not in seen and (counts := self.counts(among=ranks)):
                found[view] = counts
                seen.add(ranks)
        return found

    def _of(self, among: Sequence[int] | None) -> list[Message]:
        return [m for m in self.messages if among is None or m.ranks == tuple(among)]


@contextmanager
def recording() -> Iterator[Record]:
    """The messages that this rank sends and receives within the block, backward passes included."""
    record = Record()
    with _Recorder(record):
        yield record


@final
class _Recorder(TorchDispatchMode):
    def __init__(self, record: Record) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._record = record

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        kind = _KINDS.get(func.name().split(".")[0])
        if kind is not None:
            ranks = _ranks(args)
            if len(ranks) > 1:
                self._record.messages.append(
                    Message(kind=kind, ranks=ranks, nbytes=_nbytes(kind, args, made))
                )
        return made


def _ranks(args: Sequence[object]) -> tuple[int, ...]:
    """The ranks of the group among an operator's arguments, which is there as itself, boxed, or by name."""
    for argument in args:
        if isinstance(argument, torch.ScriptObject):
            return tuple(dist.get_process_group_ranks(ProcessGroup.unbox(argument)))
    name = next(argument for argument in reversed(args) if isinstance(argument, str))
    return tuple(dist.get_process_group_ranks(_resolve_process_group(cast("GroupName", name))))


def _nbytes(kind: Kind, args: Sequence[object], made: object) -> int:
    """Bytes of the largest tensor involved, which is the whole buffer; gradients of lists are added up."""
    sizes = [_size(argument) for argument in args]
    return max([*sizes, _size(made)]) if kind != "send" else max(sizes)


def _size(value: object) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(_size(part) for part in value)
    return 0
