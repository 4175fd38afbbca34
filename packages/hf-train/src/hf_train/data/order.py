"""In which order the rows of a dataset are trained on: pure functions of the epoch.

An order that depends on nothing but its seed and the epoch needs no memory: training resumes in it by counting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch

from hf_train.errors import TrainingDataError

MEGABATCH = 50
"""Batches that are sorted by length together."""
QUADRATIC = 0.001
"""Cost of attention beside that of the linear layers, per token of length."""


class Order(Protocol):
    """The batches of an epoch, the same in all processes: `batches(epoch)[i]` are the rows of global batch i."""

    def batches(self, epoch: int) -> Sequence[Sequence[int]]:
        """Row numbers of each batch."""
        ...

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Plain:
    """Rows in order, or in a random order that is new in every epoch, cut into batches.

    The random order of epoch e is `torch.randperm` from the seed `seed + e`, as in the peer.
    """

    rows: int
    batch_size: int
    drop_last: bool = False
    shuffle: bool = True
    seed: int = 0

    def batches(self, epoch: int) -> Sequence[Sequence[int]]:
        """Row numbers of each batch."""
        rows = shuffled(self.rows, self.seed + epoch) if self.shuffle else range(self.rows)
        return Cut(rows, self.batch_size, len(self))

    def __len__(self) -> int:
        return self.rows // self.batch_size if self.drop_last else -(-self.rows // self.batch_size)


@final
@dataclass(frozen=True, kw_only=True)
class LengthGrouped:
    """Random order in which the rows of a batch have similar lengths, so that little is padded.

    Rows are shuffled, cut into megabatches and sorted by length in each; the longest row of all comes first, so
    that a batch that does not fit into memory fails at once. `group` is the number of rows of one step.
    """

    lengths: Sequence[int]
    batch_size: int
    group: int
    drop_last: bool = False
    seed: int = 0

    def batches(self, epoch: int) -> Sequence[Sequence[int]]:
        """Row numbers of each batch."""
        rows = len(self.lengths)
        size = max(1, min(rows // (self.group * 4), MEGABATCH)) * self.group
        order = shuffled(rows, self.seed + epoch).tolist()
        mega = [
            sorted(order[i : i + size], key=self.lengths.__getitem__, reverse=True)
            for i in range(0, rows, size)
        ]
        longest = max(range(len(mega)), key=lambda m: self.lengths[mega[m][0]])
        mega[0][0], mega[longest][0] = mega[longest][0], mega[0][0]
        return Cut([row for rows_ in mega for row in rows_], self.batch_size, len(self))

    def __len__(self) -> int:
        rows = len(self.lengths)
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)


@final
@dataclass(frozen=True, kw_only=True)
class Rebalanced:
    """Batches of different sizes but similar cost: few long rows, or many short ones.

    Each step takes the same number of rows in random order, sorts them by length and cuts them into `world *
    accumulation` batches whose cost, rows * longest * (1 + QUADRATIC * longest), is as even as it gets.
    """

    lengths: Sequence[int]
    batch_size: int
    world: int = 1
    accumulation: int = 1
    drop_last: bool = False
    seed: int = 0

    @property
    def step_rows(self) -> int:
        """Rows of one step."""
        return self.batch_size * self.world * self.accumulation

    def batches(self, epoch: int) -> Sequence[Sequence[int]]:
        """Row numbers of each batch; those that belong to one accumulation step stand together."""
        order = shuffled(len(self.lengths), self.seed + epoch).tolist()
        parts = self.world * self.accumulation
        made: list[list[int]] = []
        for start in range(0, len(order), self.step_rows):
            rows = order[start : start + self.step_rows]
            if len(rows) < self.step_rows and self.drop_last:
                break
            rows += order[: max(0, parts - len(rows))]  # every batch has at least one row
            made += even_cost(sorted(rows, key=self.lengths.__getitem__, reverse=True), self.lengths, parts)
        return made

    def __len__(self) -> int:
        steps = len(self.lengths) / self.step_rows
        return (math.floor(steps) if self.drop_last else math.ceil(steps)) * self.world * self.accumulation


@final
class Cut(Sequence[Sequence[int]]):
    """Rows cut into batches when they are asked for, so that an epoch of any length costs one permutation."""

    def __init__(self, rows: torch.Tensor | Sequence[int], size: int, count: int) -> None:
        self.rows, self.size, self.batches = rows, size, count

    def __getitem__(self, index: int | slice) -> Sequence[int]:  # type: ignore[override]  # batches one by one
        assert isinstance(index, int)
        if not 0 <= index < self.batches:
            raise IndexError(index)
        part = self.rows[index * self.size : (index + 1) * self.size]
        return part.tolist() if isinstance(part, torch.Tensor) else list(part)

    def __len__(self) -> int:
        return self.batches


def shuffled(rows: int, seed: int) -> torch.Tensor:
    """The numbers below `rows` in a random order that `seed` decides, (rows,) int64."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))


def even_cost(rows: Sequence[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Rows sorted by falling length cut into `parts` runs whose largest cost is the smallest possible.

    A bound is met by taking as many rows as it allows, one part after another; the
    smallest bound that needs no more than `parts` is found by halving.
    """

    def cut(bound: float) -> list[list[int]]:
        made: list[list[int]] = [[]]
        for position, row in enumerate(rows):
            longest = lengths[made[-1][0]] if made[-1] else lengths[row]
            left = len(rows) - position
            short = parts - len(made)  # parts that still have no row
            full = cost(len(made[-1]) + 1, longest) > bound or left <= short
            if made[-1] and full and short:
                made.append([])
            made[-1].append(row)
        return made

    low, high = 0.0, cost(len(rows), lengths[rows[0]])
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        worst = max(cost(len(part), lengths[part[0]]) for part in cut(middle))
        low, high = (low, middle) if worst <= middle else (middle, high)
    return sorted(cut(high), key=lambda part: cost(len(part), lengths[part[0]]), reverse=True)


def cost(rows: int, longest: int) -> float:
    """What a batch of so many rows padded to `longest` costs, in tokens."""
    return rows * longest * (1 + QUADRATIC * longest)


def lengths_of(dataset: Any, column: str, name: str) -> list[int]:
    """The length of each row: the dataset's column of lengths if it has one, else counted in input `name`.

    Raises TrainingDataError if neither is there.
    """
    if column in (getattr(dataset, "column_names", None) or ()):
        return [int(length) for length in dataset[column]]
    rows = [dataset[number] for number in range(len(dataset))]
    if rows and isinstance(rows[0], Mapping):
        if column in rows[0]:
            return [int(row[column]) for row in rows]
        if name in rows[0]:
            return [len(row[name]) for row in rows]
    raise TrainingDataError(
        f"rows cannot be grouped by length: they have no {column!r} and no {name!r}",
        fix=f"add a column {column!r}, or set train_sampling_strategy='random'",
    )
