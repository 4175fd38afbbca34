"""An engine in a thread of its own: requests from any thread or event loop, answers as they come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar, final

from hf_modeling.generation.errors import RequestCancelledError
from hf_modeling.generation.serving.engine import Engine
from hf_modeling.generation.serving.request import Request, TokenEvent
from hf_modeling.generation.stopping import FinishReason

Listener = Callable[[TokenEvent], object]
"""Called with each event of a request, in the engine's thread."""

T = TypeVar("T")


@final
class AsyncEngine:
    """Drives an `Engine` in the background. Use it with `async with`, or call `close`.

    Requests can be added and cancelled at any time, from any thread; both take effect before the next step.
    The engine must not be used by anyone else meanwhile.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: dict[int, Listener] = {}
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hf-generation-engine", daemon=True)
        self._thread.start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def submit(self, request: Request, listener: Listener) -> int:
        """Queue a request; returns its number.

        Raises:
            GenerationError, ConfigError: as `Engine.add`.
            RequestCancelledError: the engine is closed.
        """

        def add() -> int:
            number = self._engine.add(request)
            self._listeners[number] = listener
            return number

        return self._between_steps(add)

    def cancel(self, request: int) -> bool:
        """End a request; its memory is free when this returns. False if it had ended."""
        try:
            return self._between_steps(lambda: self._cancel(request))
        except RequestCancelledError:
            return False  # closing cancelled it

    async def stream(self, request: Request) -> AsyncIterator[TokenEvent]:
        """Events of one request. Whoever stops iterating, or is cancelled, cancels the request.

        Raises as `submit`. A request that fails later raises its error.
        """
        loop, events = asyncio.get_running_loop(), asyncio.Queue[TokenEvent]()

        def listener(event: TokenEvent) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        number = await asyncio.to_thread(self.submit, request, listener)
        try:
            while True:
                event = await events.get()
                if event.error is not None:
                    raise event.error
                yield event
                if event.finish_reason is not None:
                    return
        finally:
            # Not awaited: this also runs while the task is being cancelled. It waits for one step at most.
            self.cancel(number)

    def close(self) -> None:
        """Cancel what runs and end the thread. Closing twice does nothing."""
        self._closed.set()
        self._commands.put(lambda: None)
        self._thread.join()

    def _between_steps(self, command: Callable[[], T]) -> T:
        """Run a command in the engine's thread, and give what it gives."""
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(command())
            except Exception as error:  # noqa: BLE001 - handed to whoever gave the command
                result.set_exception(error)

        if threading.current_thread() is self._thread:
            return command()
        if self._closed.is_set():
            raise RequestCancelledError("the engine is closed", fix="make another AsyncEngine")
        self._commands.put(run)
        while True:
            try:
                return result.result(timeout=1.0)
            except TimeoutError:
                if not self._thread.is_alive() and not result.done():
                    raise RequestCancelledError(
                        "the engine was closed", fix="make another AsyncEngine"
                    ) from None

    def _cancel(self, request: int) -> bool:
        known = self._engine.cancel(request)
        self._tell(TokenEvent(request=request, token=None, finish_reason=FinishReason.CANCELLED))
        return known

    def _loop(self) -> None:
        while not self._closed.is_set():
            self._obey()
            if self._engine.has_work:
                for event in self._engine.step():
                    self._tell(event)
        for number in list(self._listeners):
            self._cancel(number)

    def _obey(self) -> None:
        """Run the commands that wait; without work, wait for one."""
        if not self._engine.has_work:
            self._commands.get()()
        try:
            while True:
                self._commands.get_nowait()()
        except Empty:
            return

    def _tell(self, event: TokenEvent) -> None:
        """Hand an event to its listener; nobody hears anything after the last one."""
        listener = self._listeners.get(event.request)
        if listener is None:
            return
        if event.finish_reason is not None:
            del self._listeners[event.request]
        try:
            listener(event)
        except Exception:  # noqa: BLE001 - a listener that is gone must not stop the engine for the others
            self._listeners.pop(event.request, None)
            self._engine.cancel(event.request)
