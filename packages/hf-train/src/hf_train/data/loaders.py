"""Loaders of torch for training, with a memory of their place, and for evaluation, with every row once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, final

import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler

from hf_train.arguments.values import options
from hf_train.data.batches import IndexBatch, SeededRows, StatefulBatches, batch_seed
from hf_train.data.order import LengthGrouped, Order, Plain, Rebalanced, lengths_of
from hf_train.data.stream import BatchStream
from hf_train.errors import TrainingDataError

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments
    from hf_train.strategies import Strategy

Collate = Callable[[list[Any]], Any]


def row_count(dataset: object) -> int | None:
    """The length of a map-style dataset; None for one that can only be read from its beginning."""
    if isinstance(dataset, IterableDataset) or getattr(dataset, "__getitem__", None) is None:
        return None
    try:
        return len(dataset)  # type: ignore[arg-type]  # what has none raises
    except TypeError:
        return None


def train_loader(
    dataset: Any,
    collate: Collate,
    args: TrainingArguments,
    strategy: Strategy,
    *,
    batch_size: int,
    input_name: str = "input_ids",
) -> DataLoader[Any]:
    """A loader whose batches are those of this process, and whose place can be set; see `Feed`.

    Raises TrainingDataError for a dataset without rows.
    """
    size = batch_size
    if options(args.accelerator_config, "accelerator_config").get("split_batches"):
        size = max(1, batch_size // strategy.world)
    rows = row_count(dataset)
    if rows is None:
        stream = BatchStream(
            dataset,
            collate,
            batch_size=size,
            rank=strategy.rank,
            world=strategy.world,
            seed=args.order_seed,
            drop_last=args.dataloader_drop_last,
        )
        return _loader(stream, args, collate_fn=_same, batch_size=None)
    if rows == 0:
        raise TrainingDataError("the training dataset has no rows", fix="check how it was filtered or split")
    batches = StatefulBatches(
        _order(dataset, rows, args, strategy, size, input_name),
        rank=strategy.rank,
        world=strategy.world,
        seed=args.order_seed,
        drop_last=args.dataloader_drop_last,
    )
    if not len(batches):
        raise TrainingDataError(
            f"{rows} rows make no whole batch of {size * strategy.world}, and dataloader_drop_last is set",
            fix="leave out dataloader_drop_last, or make batches smaller",
        )
    return _loader(SeededRows(dataset), args, collate_fn=collate, batch_sampler=batches)


def eval_loader(
    dataset: Any, collate: Collate, args: TrainingArguments, strategy: Strategy, *, batch_size: int
) -> DataLoader[Any]:
    """A loader of this process's part of the data: batch i belongs to process i modulo their number."""
    rows = row_count(dataset)
    if rows is None:
        stream = BatchStream(dataset, collate, batch_size=batch_size, seed=args.order_seed)
        return _loader(stream, args, collate_fn=_same, batch_size=None)
    own = OwnBatches(rows, batch_size, strategy.rank, strategy.world, args.order_seed)
    return _loader(SeededRows(dataset), args, collate_fn=collate, batch_sampler=own)


@final
class OwnBatches(Sampler[Any]):
    """Every `world`-th batch of rows in order, from the `rank`-th on; equally many in all processes.

    A process for which no batch is left gets the first one again, which does not count.
    """

    def __init__(self, rows: int, batch_size: int, rank: int, world: int, seed: int) -> None:
        self.rows, self.batch_size, self.rank, self.world, self.seed = rows, batch_size, rank, world, seed

    def counts(self, number: int) -> bool:
        """Whether this process's batch `number` is one of the data's."""
        return (number * self.world + self.rank) * self.batch_size < self.rows

    def __iter__(self) -> Iterator[IndexBatch]:
        for number in range(len(self)):
            place = number * self.world + self.rank
            start = place * self.batch_size if self.counts(number) else 0
            rows = range(start, min(start + self.batch_size, self.rows))
            yield IndexBatch(rows, batch_seed(self.seed, -1, place))

    def __len__(self) -> int:
        return -(-self.rows // (self.batch_size * self.world))


def _order(
    dataset: Any, rows: int, args: TrainingArguments, strategy: Strategy, size: int, input_name: str
) -> Order:
    drop = args.dataloader_drop_last
    match args.train_sampling_strategy:
        case "group_by_length":
            lengths = lengths_of(dataset, args.length_column_name, input_name)
            group = size * args.gradient_accumulation_steps
            return LengthGrouped(
                lengths=lengths, batch_size=size, group=group, drop_last=drop, seed=args.order_seed
            )
        case "batch_rebalance":
            lengths = lengths_of(dataset, args.length_column_name, input_name)
            return Rebalanced(
                lengths=lengths,
                batch_size=size,
                world=strategy.world,
                accumulation=args.gradient_accumulation_steps,
                drop_last=drop,
                seed=args.order_seed,
            )
        case plain:
            return Plain(
                rows=rows, batch_size=size, drop_last=drop, shuffle=plain == "random", seed=args.order_seed
            )


def _loader(
    dataset: Any,
    args: TrainingArguments,
    *,
    collate_fn: Collate,
    batch_size: int | None = 1,
    batch_sampler: Sampler[Any] | None = None,
) -> DataLoader[Any]:
    workers = args.dataloader_num_workers
    # A generator of its own, because the loader would draw from the one that dropout draws from.
    return DataLoader(
        dataset,
        batch_size=batch_size,
        batch_sampler=batch_sampler,
        collate_fn=collate_fn,
        num_workers=workers,
        pin_memory=args.dataloader_pin_memory and torch.accelerator.is_available(),
        persistent_workers=args.dataloader_persistent_workers and workers > 0,
        prefetch_factor=args.dataloader_prefetch_factor,
        multiprocessing_context=args.dataloader_multiprocessing_context if workers else None,
        generator=torch.Generator().manual_seed(args.order_seed),
    )


def _same(batch: Any) -> Any:
    return batch
