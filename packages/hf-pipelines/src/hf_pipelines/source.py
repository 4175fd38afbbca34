"""Reading ahead: groups of inputs from any source, never waiting long while others could be processed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FIRST_WINDOW = 8
PATIENCE_SECONDS = 0.02


@runtime_checkable
class Rows(Protocol[T_co]):
    """A dataset that is read by index, as torch's map-style ones are."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


def iterate(source: Iterable[T] | Rows[T]) -> Iterator[T]:
    """One pass over a list, generator or dataset."""
    if isinstance(source, Iterable):
        return iter(source)
    rows = source
    return (rows[index] for index in range(len(rows)))


def size(source: object) -> int | None:
    """How many inputs the source holds, if it says so."""
    return len(source) if isinstance(source, Rows) else None


@dataclass(frozen=True, slots=True)
class Window(Generic[T]):
    """Consecutive inputs, and what the source raised after them: to be raised once they are finished."""

    first: int
    inputs: list[T]
    error: Exception | None = None


def windows(source: Iterable[T], lookahead: int) -> Iterator[Window[T]]:
    """Groups of up to `lookahead` inputs: small at first, so that results start early, and cut short when the
    source is slow, so that no finished input waits for one that has not arrived.
    """
    inputs = iter(source)
    first, width = 0, min(FIRST_WINDOW, lookahead)
    while True:
        group: list[T] = []
        error: Exception | None = None
        waited_since = time.monotonic()
        ended = False
        while len(group) < width:
            try:
                group.append(next(inputs))
            except StopIteration:
                ended = True
                break
            except Exception as raised:  # noqa: BLE001 - handed on, after the inputs before it
                error = raised
                break
            if time.monotonic() - waited_since > PATIENCE_SECONDS:
                break
        if group or error is not None:
            yield Window(first, group, error)
        if ended or error is not None:
            return
        first += len(group)
        width = min(2 * width, lookahead)


async def awindows(source: AsyncIterable[T], lookahead: int) -> AsyncIterator[Window[T]]:
    """`windows` for an async source; an input that is late is awaited again for the next group."""
    inputs = aiter(source)
    first, width = 0, min(FIRST_WINDOW, lookahead)
    pending: asyncio.Future[T] | None = None
    try:
        while True:
            group: list[T] = []
            error: Exception | None = None
            ended = False
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(group) < width:
                pending = pending or asyncio.ensure_future(anext(inputs))
                patience = max(deadline - time.monotonic(), 0.0) if group else None
                await asyncio.wait({pending}, timeout=patience)
                if not pending.done():
                    break
                arrived, pending = pending, None
                try:
                    group.append(arrived.result())
                except StopAsyncIteration:
                    ended = True
                    break
                except Exception as raised:  # noqa: BLE001 - as in `windows`
                    error = raised
                    break
            if group or error is not None:
                yield Window(first, group, error)
            if ended or error is not None:
                return
            first += len(group)
            width = min(2 * width, lookahead)
    finally:
        if pending is not None:
            pending.cancel()
