"""Batches dealt out to processes, and what they computed put together again: every row once, in order.

W processes; in each round process r computes batch r of the round's W batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hf_train.data.loaders import OwnBatches
from hf_train.data.stream import StreamBatch

if TYPE_CHECKING:
    from hf_train.strategies import Strategy

PADDING = -100
"""What ragged predictions and labels are filled with."""


def dealt(loader: Iterable[Any], strategy: Strategy) -> Iterator[tuple[Any, bool]]:
    """This process's batches, and whether each counts.

    All processes get equally many; where the data has no batch left for one, it gets one that does not count.
    """
    sampler: object = loader.batch_sampler if isinstance(loader, DataLoader) else None
    if isinstance(sampler, OwnBatches):
        for number, batch in enumerate(loader):
            yield batch, sampler.counts(number)
        return
    batches = (b.batch if isinstance(b, StreamBatch) else b for b in loader)
    while group := list(islice(batches, strategy.world)):
        counts = strategy.rank < len(group)
        yield group[strategy.rank if counts else 0], counts


def gather_rows(values: Any, strategy: Strategy, counts: bool) -> Any:
    """Tensors of rows (n, ...) of all processes, joined in order; rows of a batch that does not count left out.

    values: a tensor, or a tuple, list or mapping of them. The second dimension is padded where it differs.
    """
    if strategy.world == 1:
        return values if counts else mapped(lambda t: t[:0], values)
    return mapped(lambda tensor: _gather(tensor, strategy, counts), values)


def _gather(tensor: Tensor, strategy: Strategy, counts: bool) -> Tensor:
    if not tensor.ndim:
        tensor = tensor[None]
    if not counts:
        tensor = tensor[:0]
    sizes = torch.zeros(strategy.world, 2, dtype=torch.int64, device=strategy.device)
    sizes[strategy.rank, 0] = tensor.shape[0]
    sizes[strategy.rank, 1] = tensor.shape[1] if tensor.ndim > 1 else 0
    sizes = strategy.total(sizes)
    rows, columns = int(sizes[:, 0].max()), int(sizes[:, 1].max())
    shape = (rows, columns, *tensor.shape[2:]) if tensor.ndim > 1 else (rows,)
    padded = tensor.new_full(shape, PADDING)
    padded[tuple(slice(size) for size in tensor.shape)] = tensor
    parts = strategy.gather(padded).split(rows)
    return torch.cat([part[: int(n)] for part, n in zip(parts, sizes[:, 0], strict=True)])


def mapped(change: Callable[[Tensor], Any], values: Any) -> Any:
    """The same nesting with every tensor changed; what is no tensor stays."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, tuple | list):
        return type(values)(mapped(change, part) for part in values)
    if isinstance(values, Mapping):
        return {name: mapped(change, part) for name, part in values.items()}
    return values
