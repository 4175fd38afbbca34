"""Which rows each process takes next: a batch sampler that knows its place, so that resuming is counting."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch.utils.data import Dataset, Sampler

from hf_train.data.order import Order


@dataclass(frozen=True, slots=True)
class IndexBatch:
    """Rows of one batch, and the seed of everything random that happens while they are read and collated."""

    rows: Sequence[int]
    seed: int


@final
class StatefulBatches(Sampler[Any]):
    """The batches of one process: every `world`-th of the order, beginning anywhere.

    Where the number of batches does not divide evenly, processes at the end take batches from the epoch's
    beginning (or none do, with `drop_last`), because all must take part in each step.
    """

    def __init__(
        self, order: Order, *, rank: int = 0, world: int = 1, seed: int = 0, drop_last: bool = False
    ) -> None:
        self.order, self.rank, self.world, self.seed, self.drop_last = order, rank, world, seed, drop_last
        self.epoch = self.start = 0
        self._batches: tuple[int, Sequence[Sequence[int]]] | None = None

    def move(self, epoch: int, start: int = 0) -> None:
        """Let the next iteration give epoch `epoch` from its batch `start` on."""
        self.epoch, self.start = epoch, start

    def rows(self, number: int) -> tuple[int, ...]:
        """The rows of this process's batch `number` of the current epoch."""
        batches = self._of_epoch()
        position = number * self.world + self.rank
        batch = batches[position % len(batches)]
        short = max(map(len, (batches[0], batch))) - len(batch)
        if self.world == 1 or self.drop_last or not short or position < len(batches) - self.world:
            return tuple(batch)
        first = [row for wrapped in range(min(len(batches), self.world)) for row in batches[wrapped]]
        return (*batch, *(first * short)[:short])

    def __iter__(self) -> Iterator[IndexBatch]:
        start, self.start = self.start, 0
        for number in range(start, len(self)):
            yield IndexBatch(self.rows(number), self._seed(number))

    def __len__(self) -> int:
        batches = len(self.order)
        return batches // self.world if self.drop_last else -(-batches // self.world)

    def _of_epoch(self) -> Sequence[Sequence[int]]:
        if self._batches is None or self._batches[0] != self.epoch:
            self._batches = (self.epoch, self.order.batches(self.epoch))
        return self._batches[1]

    def _seed(self, number: int) -> int:
        return batch_seed(self.seed, self.epoch, number * self.world + self.rank)


def batch_seed(seed: int, epoch: int, number: int) -> int:
    """The seed of one batch of the whole run: 32 bits that depend on all three."""
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + number * 0x94D049BB133111EB) & (
        2**64 - 1
    )
    mixed ^= mixed >> 31
    return (mixed * 0x7FB5D329728EA185 >> 32) & 0xFFFFFFFF


@final
class SeededRows(Dataset[Any]):
    """A map-style dataset whose batches are read with their own seed.

    So masks that a collator draws, or crops that a dataset draws, are the same however many workers there are
    and wherever training was resumed.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.together = getattr(dataset, "__getitems__", None)

    def __getitems__(self, batch: IndexBatch) -> list[Any]:
        seed_generators(batch.seed)
        if self.together is not None:
            rows: list[Any] = self.together(list(batch.rows))
            return rows
        return [self.dataset[row] for row in batch.rows]

    def __getitem__(self, row: int) -> Any:
        return self.dataset[row]

    def __len__(self) -> int:
        return len(self.dataset)


def seed_generators(seed: int) -> None:
    """Seed what draws on the CPU: Python, torch, and NumPy where it is in use."""
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)


@contextmanager
def own_randomness() -> Iterator[None]:
    """A block after which the generators on the CPU are as they were."""
    python, cpu = random.getstate(), torch.default_generator.get_state()
    numpy = sys.modules.get("numpy")
    state = numpy.random.get_state() if numpy is not None else None
    try:
        yield
    finally:
        random.setstate(python)
        torch.default_generator.set_state(cpu)
        if numpy is not None:
            numpy.random.set_state(state)
