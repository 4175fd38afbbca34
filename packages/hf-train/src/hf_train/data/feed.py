"""The batches of training, epoch by epoch, and how far they have been taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Self, final

from torch.utils.data import DataLoader, DistributedSampler

from hf_train.data.batches import StatefulBatches, batch_seed, own_randomness, seed_generators
from hf_train.data.stream import BatchStream, StreamBatch
from hf_train.errors import ResumeError


@dataclass(frozen=True, kw_only=True, slots=True)
class DataState:
    """How far the data was taken: plain numbers and mappings, saved with a checkpoint.

    `batches` of `epoch` were trained on by each process; `rows` is the length of the dataset, None for a stream,
    for which `positions` says where each of the workers is and `turn` whose batch comes next. A step had
    `accumulation` batches of `batch_rows` rows from each of `world` shares of the data, and the run `processes`
    (0: not known).
    """

    epoch: int = 0
    batches: int = 0
    rows: int | None = None
    batch_rows: int = 1
    world: int = 1
    workers: int = 0
    accumulation: int = 1
    processes: int = 0
    turn: int = 0
    positions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {**values, "positions": dict(self.positions)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The state that `to_dict` gave."""
        return cls(**values)


@final
class Feed:
    """Gives the batches of one epoch after another from a loader, and says how far it got.

    A loader made here resumes at once in random order, and as fast as its stream allows otherwise. A loader of
    another make is read up to the place.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        batch_rows: int = 1,
        workers: int = 0,
    ) -> None:
        self.loader, self.seed, self.rank, self.world = loader, seed, rank, world
        self.batch_rows, self.workers = batch_rows, workers
        self.epoch = self.batches = self.turn = 0
        self.positions: dict[int, Mapping[str, Any]] = {}
        sampler: object = loader.batch_sampler if isinstance(loader, DataLoader) else None
        self._sampler = sampler if isinstance(sampler, StatefulBatches) else None
        dataset: object = loader.dataset if isinstance(loader, DataLoader) else None
        self._stream = dataset if isinstance(dataset, BatchStream) else None
        self._seeded = self._sampler is not None or self._stream is not None
        own = isinstance(loader, DataLoader) and isinstance(loader.sampler, DistributedSampler)
        # A loader of another make gives all batches to all processes, unless its sampler knows of them.
        self._dealt = 1 if self._seeded or own else world

    def __len__(self) -> int:
        """Batches in an epoch. Raises TypeError if that is not known."""
        return len(self.loader) // self._dealt  # type: ignore[arg-type]  # as documented

    def epoch_from(self, epoch: int, state: DataState | None = None) -> Iterator[Any]:
        """The batches of `epoch`, after those that `state` says were taken of it."""
        self.epoch, self.batches, self.turn, self.positions = epoch, 0, 0, {}
        resumed = state is not None and state.epoch == epoch and state.batches > 0
        if resumed:
            assert state is not None
            self.batches, self.turn, self.positions = state.batches, state.turn, dict(state.positions)
        if self._sampler is not None:
            self._sampler.move(epoch, self.batches)
        elif self._stream is not None:
            self._stream.move(epoch, self.positions if resumed else None, self.turn)
        return self._draw(0 if self._seeded else self.batches)

    def state(self, *, done: bool = False) -> DataState:
        """How far the data was taken; with `done` the epoch is over and the next one not begun."""
        return DataState(
            epoch=self.epoch + done,
            batches=0 if done else self.batches,
            rows=self.rows,
            batch_rows=self.batch_rows,
            world=self.world,
            workers=self.workers,
            turn=0 if done else self.turn,
            positions={} if done else dict(self.positions),
        )

    @property
    def rows(self) -> int | None:
        """The length of the dataset; None for a stream."""
        if self._sampler is None:
            return None
        assert isinstance(self.loader, DataLoader)
        dataset: Any = self.loader.dataset
        return len(dataset)

    def rows_of(self, batches: range) -> tuple[int, ...]:
        """The rows in these batches of the epoch, by number in the dataset; () if they are not known."""
        if self._sampler is None:
            return ()
        return tuple(row for number in batches for row in self._sampler.rows(number))

    def fit(self, state: DataState) -> DataState:
        """The state as this feed can take it up: with another number of processes, counted in its batches.

        Raises ResumeError if the dataset has another length, or batches or workers are others.
        """
        if state.rows is not None and self.rows is not None and state.rows != self.rows:
            raise ResumeError(
                f"the checkpoint was trained on a dataset of {state.rows} rows, and this one has {self.rows}",
                fix="resume with the same data, or with ignore_data_skip=True to begin it anew",
            )
        before, now = state.batch_rows * state.world, self.batch_rows * self.world
        if state.batches and (state.batches * before) % now:
            raise ResumeError(
                f"the checkpoint stands after {state.batches} batches of {before} rows, which is no whole number "
                f"of batches of {now}",
                fix="keep per_device_train_batch_size times the number of processes",
            )
        if self._stream is not None and (state.workers, state.world) != (self.workers, self.world):
            raise ResumeError(
                f"the stream was read by {state.workers} workers of {state.world} processes, and now by "
                f"{self.workers} of {self.world}",
                fix=f"set dataloader_num_workers={state.workers} and start {state.world} processes",
            )
        return DataState.of({**state.to_dict(), "batches": state.batches * before // now})

    def _draw(self, skipped: int) -> Iterator[Any]:
        with own_randomness():
            seed_generators(batch_seed(self.seed, self.epoch, -1))
            batches = self._own(iter(self.loader))
            # A sampler of torch draws its order when the first batch is asked for.
            first = next(islice(batches, skipped, None), self)
        while first is not self:
            self.batches += 1
            yield self._taken(first)
            if self.workers and self._seeded:
                first = next(batches, self)
                continue
            with own_randomness():
                if not self._seeded:
                    seed_generators(batch_seed(self.seed, self.epoch, self.batches))
                first = next(batches, self)

    def _own(self, batches: Iterator[Any]) -> Iterator[Any]:
        """This process's batches of a loader that gives all; a round that is not full is left out."""
        if self._dealt == 1:
            return batches
        rounds = iter(lambda: list(islice(batches, self._dealt)), [])
        return (group[self.rank] for group in rounds if len(group) == self._dealt)

    def _taken(self, batch: Any) -> Any:
        if not isinstance(batch, StreamBatch):
            return batch
        self.positions[batch.worker] = batch.position
        self.turn = (batch.worker + 1) % max(1, self.workers)
        return batch.batch
