"""Runs a task over any number of inputs: reads ahead, batches by length, keeps the order, streams results."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar, final

import torch

from hf_pipelines.plan import plan_batches
from hf_pipelines.source import Window, awindows, windows
from hf_pipelines.stats import Meter, RunStats
from hf_pipelines.task import Limits, Task

In = TypeVar("In")
Chunk = TypeVar("Chunk")
Raw = TypeVar("Raw")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class FailedItem:
    """Stands in a stream in place of the record of an input that could not be processed."""

    index: int
    error: Exception


@final
class Runner(Generic[In, Chunk, Raw, Out]):
    """One task under one set of limits. Any number of threads may share it: all it keeps of a run is what the
    memory turned out to hold.
    """

    def __init__(self, task: Task[In, Chunk, Raw, Out], limits: Limits, meter: Meter) -> None:
        self._task = task
        self._limits = limits
        self._meter = meter

    @property
    def limits(self) -> Limits:
        """The limits now: those given, or tighter ones after a pass did not fit into memory."""
        return self._limits

    def one(self, item: In) -> Out:
        """The record of one input; raises what its task raises."""
        chunks = self._task.preprocess([item])[0]
        pending: _Pending[Chunk, Raw] = _Pending(0, chunks)
        for batch in plan_batches([self._task.length(chunk) for chunk in chunks], self._limits):
            self._forward([(pending, position) for position in batch])
        result = self._finish(pending)
        if isinstance(result, FailedItem):
            raise result.error
        return result

    def stream(self, inputs: Iterable[In]) -> Iterator[Out | FailedItem]:
        """Records in the order of the inputs, each as soon as it and all before it are finished."""
        for window in windows(inputs, self._limits.lookahead):
            yield from self._window(window)
            if window.error is not None:
                raise window.error

    async def astream(self, inputs: AsyncIterable[In]) -> AsyncIterator[Out | FailedItem]:
        """`stream` for an async source; the model runs on a worker thread, so the event loop stays free."""
        async for window in awindows(inputs, self._limits.lookahead):
            results = self._window(window)
            while (result := await asyncio.to_thread(next, results, _Mark.END)) is not _Mark.END:
                yield result
            if window.error is not None:
                raise window.error

    def _window(self, window: Window[In]) -> Iterator[Out | FailedItem]:
        waiting = self._preprocess(window)
        rows = [(pending, position) for pending in waiting for position in range(len(pending.chunks))]
        lengths = [self._task.length(pending.chunks[position]) for pending, position in rows]
        waiting.reverse()
        for batch in plan_batches(lengths, self._limits):
            self._forward([rows[number] for number in batch])
            while waiting and waiting[-1].ready:
                yield self._finish(waiting.pop())
        while waiting:
            yield self._finish(waiting.pop())

    def _preprocess(self, window: Window[In]) -> list[_Pending[Chunk, Raw]]:
        """All inputs in one go; only if that fails one by one, to tell the bad ones from the good."""
        try:
            chunks = self._task.preprocess(window.inputs)
        except Exception as error:  # noqa: BLE001 - any failure belongs to one of the inputs
            if len(window.inputs) == 1:
                return [_Pending(window.first, [], error)]
            singles = (Window(window.first + offset, [item]) for offset, item in enumerate(window.inputs))
            return [pending for single in singles for pending in self._preprocess(single)]
        return [_Pending(window.first + offset, own) for offset, own in enumerate(chunks)]

    def _forward(self, rows: Sequence[tuple[_Pending[Chunk, Raw], int]]) -> None:
        """One pass; a batch that fails is halved, until it fits the memory or its culprit stands alone."""
        rows = [(pending, position) for pending, position in rows if pending.error is None]
        if not rows:
            return
        chunks = [pending.chunks[position] for pending, position in rows]
        started = time.perf_counter()
        try:
            with torch.inference_mode():
                raws = self._task.forward(chunks)
        except Exception as error:  # noqa: BLE001 - any failure belongs to one of the rows
            if len(rows) == 1:
                rows[0][0].error = error
                return
            if isinstance(error, MemoryError | torch.OutOfMemoryError):
                self._tighten(chunks)
            middle = len(rows) // 2
            self._forward(rows[:middle])
            self._forward(rows[middle:])
            return
        self._count(chunks, time.perf_counter() - started)
        for (pending, position), raw in zip(rows, raws, strict=True):
            pending.raws[position] = raw
            pending.left -= 1

    def _tighten(self, chunks: Sequence[Chunk]) -> None:
        """Plan later windows for half of what did not fit."""
        longest = max(self._task.length(chunk) for chunk in chunks)
        tokens = max(min(self._limits.tokens, len(chunks) * longest) // 2, 1)
        self._limits = replace(self._limits, tokens=tokens)

    def _finish(self, pending: _Pending[Chunk, Raw]) -> Out | FailedItem:
        self._meter.add(RunStats(inputs=1))
        if pending.error is not None:
            return FailedItem(pending.index, pending.error)
        raws = [raw for raw in pending.raws if raw is not None]
        try:
            return self._task.postprocess(pending.chunks, raws)
        except Exception as error:  # noqa: BLE001 - reported in place of this input's record
            return FailedItem(pending.index, error)

    def _count(self, chunks: Sequence[Chunk], seconds: float) -> None:
        lengths = [self._task.length(chunk) for chunk in chunks]
        tokens = sum(lengths)
        padding = max(lengths) * len(lengths) - tokens
        self._meter.add(
            RunStats(rows=len(chunks), forwards=1, tokens=tokens, padding=padding, forward_seconds=seconds)
        )


@dataclass(slots=True)
class _Pending(Generic[Chunk, Raw]):
    """One input on its way: what is still to be computed, or why it failed."""

    index: int
    chunks: list[Chunk]
    error: Exception | None = None
    raws: list[Raw | None] = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.raws = [None] * len(self.chunks)
        self.left = len(self.chunks)

    @property
    def ready(self) -> bool:
        return self.left == 0 or self.error is not None


class _Mark(enum.Enum):
    END = enum.auto()
