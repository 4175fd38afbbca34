"""Batches of a dataset that can only be read from its beginning, and how reading it is taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch.utils.data import IterableDataset, get_worker_info

from hf_train.data.batches import batch_seed, seed_generators


@runtime_checkable
class Stateful(Protocol):
    """A stream that can say where it is and go there, such as one of the datasets library."""

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        ...


@dataclass(frozen=True, slots=True)
class StreamBatch:
    """A collated batch, and where its worker's stream is after it."""

    batch: Any
    worker: int
    position: Mapping[str, Any]


@final
class BatchStream(IterableDataset[Any]):
    """Collates batches of a stream, in whichever process reads it.

    Every process of the run reads all rows and keeps its own: the stream is cut into pieces of `world` batches,
    of which process `rank` takes the `rank`-th. A last, incomplete piece is filled by repeating its rows if there are
    several processes, unless `drop_last` leaves it out.

    A stream that is `Stateful` resumes by its state, any other by reading past the rows it gave.
    """

    def __init__(
        self,
        source: Iterable[Any],
        collate: Callable[[list[Any]], Any],
        *,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.source, self.collate, self.batch_size = source, collate, batch_size
        self.rank, self.world, self.seed, self.drop_last = rank, world, seed, drop_last
        # Persistent workers hold copies of this object; memory that is shared reaches them.
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.resume_epoch = torch.full((), -1, dtype=torch.int64).share_memory_()
        self.positions: Mapping[int, Mapping[str, Any]] = {}
        self.turn = 0

    def move(
        self, epoch: int, positions: Mapping[int, Mapping[str, Any]] | None = None, turn: int = 0
    ) -> None:
        """Let the next iteration give epoch `epoch`: from its beginning, or from what each worker had reached.

        positions: by worker. turn: the worker whose batch comes next.
        """
        self.epoch.fill_(epoch)
        self.resume_epoch.fill_(-1 if positions is None else epoch)
        self.positions, self.turn = positions or {}, turn
        set_epoch = getattr(self.source, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)

    def __iter__(self) -> Iterator[StreamBatch]:
        info = get_worker_info()
        workers = 1 if info is None else info.num_workers
        # Batches arrive worker by worker, from 0 on: after resuming, worker 0 goes on with the one whose turn it was.
        worker = ((0 if info is None else info.id) + self.turn) % workers
        epoch = int(self.epoch)
        position = self.positions.get(worker) if int(self.resume_epoch) == epoch else None
        yield from self._read(epoch, worker, workers, position)

    def _read(
        self, epoch: int, worker: int, workers: int, position: Mapping[str, Any] | None
    ) -> Iterator[StreamBatch]:
        done = 0 if position is None else int(position["batches"])
        rows = self._rows(done, None if position is None else position.get("source"))
        piece_size = self.batch_size * self.world
        while True:
            seed_generators(batch_seed(self.seed, epoch, (done * workers + worker) * self.world + self.rank))
            piece = list(islice(rows, piece_size))
            short = piece_size - len(piece)
            if not piece or (short and self.drop_last):
                return
            if self.world > 1 and short:
                piece += (piece * (short // len(piece) + 1))[:short]
            mine = piece[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
            done += 1
            yield StreamBatch(self.collate(mine), worker, self._position(done))

    def __len__(self) -> int:
        """Batches in an epoch. Raises TypeError if the stream has no length."""
        rows, size = len(self.source), self.batch_size * self.world  # type: ignore[arg-type]  # as documented
        return rows // size if self.drop_last else -(-rows // size)

    def _rows(self, done: int, state: Mapping[str, Any] | None) -> Iterator[Any]:
        if not done:
            return iter(self.source)
        if state is not None and isinstance(self.source, Stateful):
            self.source.load_state_dict(dict(state))
            return iter(self.source)
        rows = iter(self.source)
        given = done * self.batch_size * self.world
        next(islice(rows, given, given), None)
        return rows

    def _position(self, done: int) -> Mapping[str, Any]:
        if isinstance(self.source, Stateful):
            return {"batches": done, "source": self.source.state_dict()}
        return {"batches": done}
