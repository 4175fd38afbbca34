"""Predictions of a whole dataset as arrays: collected batch by batch in the memory of the CPU."""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from hf_train.errors import MetricError
from hf_train.evaluation.gather import PADDING, mapped

if TYPE_CHECKING:
    import numpy.typing as npt

logger = logging.getLogger(__name__)
_SAY_FROM = 2**30


@final
class Collected:
    """Rows of one kind (predictions, labels, inputs, losses), one entry for each batch.

    join: give one array, ragged batches padded with -100, not a list of arrays.
    keep: batches that stay on their device before they are moved; 1 moves each at once.
    """

    def __init__(self, *, join: bool, keep: int = 1) -> None:
        self.join, self.keep = join, keep
        self._waiting: list[Any] = []
        self._batches: deque[Any] = deque()

    def add(self, rows: Any) -> None:
        """Take one batch in."""
        self._waiting.append(rows)
        if len(self._waiting) >= self.keep:
            self._move()

    def arrays(self) -> Any:
        """Everything taken in; None if that was nothing. The batches are given up while they are joined."""
        self._move()
        if not self._batches:
            return None
        return _joined(self._batches) if self.join else list(self._batches)

    def _move(self) -> None:
        self._batches.extend(mapped(to_array, rows) for rows in self._waiting)
        self._waiting.clear()


def to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """The tensor as an array; bfloat16, which NumPy lacks, as float32."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.cpu().numpy()
    return array


def _joined(batches: deque[Any]) -> Any:
    first = batches[0]
    if isinstance(first, tuple | list):
        columns = [deque(batch[i] for batch in batches) for i in range(len(first))]
        batches.clear()
        return type(first)(_joined(column) for column in columns)
    if isinstance(first, dict):
        named = {name: deque(batch[name] for batch in batches) for name in first}
        batches.clear()
        return {name: _joined(column) for name, column in named.items()}
    return _joined_arrays(batches)


def _joined_arrays(batches: deque[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    import numpy as np

    if len(batches) == 1:
        return batches.popleft()
    rows = sum(len(batch) for batch in batches)
    widest = max(batch.shape[1:2] for batch in batches)
    shape = (rows, *widest, *batches[0].shape[2:])
    ragged = any(batch.shape[1:2] != widest for batch in batches)
    whole = np.full(shape, PADDING, batches[0].dtype) if ragged else np.empty(shape, batches[0].dtype)
    start = 0
    while batches:  # each batch is freed when it has been copied, so memory holds little more than one copy
        batch = batches.popleft()
        whole[(slice(start, start + len(batch)), *map(slice, batch.shape[1:2]))] = batch
        start += len(batch)
    return whole


def check_size(rows: Any, done: int, total: int | None) -> None:
    """Say how much memory collecting will take, after the first batch of `done` rows out of `total`.

    Raises MetricError if that is more than there is.
    """
    if total is None or not done:
        return
    size = 0

    def count(tensor: Tensor) -> None:
        nonlocal size
        size += tensor.nbytes

    mapped(count, rows)
    needed = size * total // done
    if needed < _SAY_FROM:
        return
    free = available_memory()
    if free is not None and needed > free:
        raise MetricError(
            f"predictions of {total} rows take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
            fix="reduce them batch by batch with preprocess_logits_for_metrics, give a streaming metric "
            "(hf_train.evaluation), or set batch_eval_metrics=True",
        )
    logger.info("collecting the predictions of %d rows takes %.1f GiB", total, needed / 2**30)


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
