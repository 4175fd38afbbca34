"""Which rows of a data set each rank reads: every row once an epoch, on any number of ranks, from any point on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from hf_modeling.loss import IGNORED
from hf_parallel.errors import LayoutError
from hf_parallel.step import Batch


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Rows for one micro-batch. The first `real` count; others fill up the last batch of an epoch."""

    indices: tuple[int, ...]
    real: int

    def mark(self, targets: Tensor) -> Tensor:
        """Targets (B, T) in which those of fillers do not count."""
        marked = targets.clone()
        marked[self.real :] = IGNORED
        return marked

    def of(self, batch: Batch) -> Batch:
        """A batch of these rows, in which fillers do not count."""
        return batch if self.real == len(self.indices) else replace(batch, targets=self.mark(batch.targets))


@final
class ShardedSampler:
    """Deals the rows of an epoch to data parallel ranks, `rows` at a time.

    The order of an epoch depends on `seed` and its number alone. What is remembered is how many rows of it all
    ranks together have drawn, so a run can go on with another number of ranks.

    length: rows of the data set. rank, ways: `ParallelDims.batch_rank` and `batch_ways`.
    """

    def __init__(
        self, length: int, *, rank: int, ways: int, rows: int, seed: int = 0, shuffle: bool = True
    ) -> None:
        if not length or not rows or not 0 <= rank < ways:
            raise LayoutError(
                f"{length} rows dealt {rows} at a time to rank {rank} of {ways}",
                fix="give a data set with rows, a batch size of 1 or more, and ParallelDims.batch_rank",
            )
        self.length, self.rank, self.ways, self.rows = length, rank, ways, rows
        self.seed, self.shuffle = seed, shuffle
        self.epoch, self.drawn = 0, 0

    def __iter__(self) -> Iterator[Drawn]:
        """The rest of this epoch; all ranks get as many batches. The next one begins when it is through."""
        order = self._order()
        while self.drawn < self.length:
            each = self.ways * self.rows
            mine = order[self.drawn : self.drawn + each][self.rank * self.rows : (self.rank + 1) * self.rows]
            filled = [*mine, *([order[0]] * (self.rows - len(mine)))]
            # Counted before the batch is given out: whoever saves while working on it has drawn it.
            self.drawn = min(self.drawn + each, self.length)
            yield Drawn(indices=tuple(filled), real=len(mine))
        self.epoch, self.drawn = self.epoch + 1, 0

    def __len__(self) -> int:
        """Batches that are left of this epoch."""
        return -(-(self.length - self.drawn) // (self.ways * self.rows))

    def state_dict(self) -> dict[str, int]:
        """What continuing takes; the same on every rank."""
        return {"length": self.length, "seed": self.seed, "epoch": self.epoch, "drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after what `state` has drawn, whatever the number of ranks was then.

        Raises:
            LayoutError: the state is of another data set.
        """
        if state["length"] != self.length:
            raise LayoutError(
                f"the sampler's state is of {state['length']} rows, and the data set has {self.length}",
                fix="continue with the data set the run was begun with",
            )
        self.seed, self.epoch, self.drawn = state["seed"], state["epoch"], state["drawn"]

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.length))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order: list[int] = torch.randperm(self.length, generator=generator).tolist()
        return order
