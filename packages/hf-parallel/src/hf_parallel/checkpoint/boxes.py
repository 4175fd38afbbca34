"""What a rank holds, in DCP's terms: boxes of whole tensors, each with the rank's own memory for it.

Shares have forms that a DTensor cannot describe: rows of several fused projections, heads that two ranks hold,
padding at the end. So these planners tell DCP where each box belongs. On disk it is a DCP checkpoint like any other.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, final

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from hf_parallel.placements import Holding


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A rank's tensor `local` under the name it has in a checkpoint, the whole's shape, and what it holds of it."""

    name: str
    shape: tuple[int, ...]
    held: Holding
    local: Tensor

    def boxes(self) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """Where each box of it starts in the whole, and the rank's memory for it; padding is in none."""
        axes = [
            [pair for pair in zip(spans, places, strict=True) if pair[0][0] < pair[0][1]]
            for spans, places in zip(self.held.region, self.held.places, strict=True)
        ]
        for box in product(*axes):
            view = self.local
            for dim, (_, (low, high)) in enumerate(box):
                view = view.narrow(dim, low, high - low)
            yield tuple(span[0] for span, _ in box), view


@final
class BoxSavePlanner(DefaultSavePlanner):
    """Writes the boxes of `pieces`; one that several ranks hold is written by one of them."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._views: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        for piece in pieces:
            self._shapes[piece.name] = piece.shape
            for start, view in piece.boxes():
                self._views.setdefault((piece.name, start), view)

    def create_local_plan(self) -> SavePlan:
        """One item a box."""
        items = []
        for (name, start), view in self._views.items():
            data = TensorWriteData(
                chunk=ChunkStorageMetadata(torch.Size(start), view.shape),
                properties=TensorProperties.create_from_tensor(view),
                size=torch.Size(self._shapes[name]),
            )
            items.append(WriteItem(MetadataIndex(name, start), WriteItemType.SHARD, tensor_data=data))
        self.plan = SavePlan(items)
        return self.plan

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        """The box, in memory of its own: what is written is a whole storage."""
        assert index.offset is not None, "every item has a place"
        view = self._views[index.fqn, tuple(index.offset)]
        return view.detach().clone(memory_format=torch.contiguous_format)


@final
class BoxLoadPlanner(LoadPlanner):
    """Reads what `pieces` hold into their memory, from whatever boxes it was written in."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._views: list[Tensor] = []
        self._metadata: Mapping[str, object] = {}

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        """Note which boxes there are."""
        self._metadata = {} if metadata is None else metadata.state_dict_metadata

    def create_local_plan(self) -> LoadPlan:
        """The overlaps of each own box with those on disk."""
        items: list[ReadItem] = []
        for piece in self._pieces:
            stored = self._metadata[piece.name]
            assert isinstance(stored, TensorStorageMetadata), "names and shapes were compared before"
            for start, view in piece.boxes():
                chunk = ChunkStorageMetadata(torch.Size(start), view.shape)
                target = MetadataIndex(piece.name, start, len(self._views))
                found = create_read_items_for_chunk_list(piece.name, stored, [chunk])
                items += (replace(item, dest_index=target) for item in found)
                self._views.append(view)
        return LoadPlan(items)

    def create_global_plan(self, global_plan: list[LoadPlan]) -> list[LoadPlan]:
        """As planned: ranks read without each other."""
        return global_plan

    def finish_plan(self, central_plan: LoadPlan) -> LoadPlan:
        """As planned."""
        return central_plan

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Never called: there are tensors only."""
        raise AssertionError("a plan of tensors reads no objects")

    def resolve_tensor(self, read_item: ReadItem) -> Tensor:
        """The memory that an overlap is copied to."""
        number = read_item.dest_index.index
        assert number is not None, "create_local_plan gives it"
        view = self._views[number].detach()
        for dim, (low, size) in enumerate(zip(read_item.dest_offsets, read_item.lengths, strict=True)):
            view = view.narrow(dim, low, size)
        return view

    def commit_tensor(self, read_item: ReadItem, tensor: Tensor) -> None:
        """Nothing is left to do: `resolve_tensor` gave the memory itself."""
