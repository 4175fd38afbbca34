"""Streamers: objects that receive tokens while `generate` runs, under the names users know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from queue import Queue
from typing import Protocol, final

from torch import Tensor

from hf_modeling.generation.text import Detokenizer, TextStream


class BaseStreamer(Protocol):
    """Receives the prompt's ids (B, T) first, then the tokens (B,) of every step, then the end.

    A sequence of a batch that is finished receives -1.
    """

    def put(self, value: Tensor) -> None:
        """Take tokens."""
        ...

    def end(self) -> None:
        """There are no more tokens."""
        ...


@final
class TextStreamer:
    """Prints text as soon as its characters are complete. One sequence; several print a line each at the end.

    Args:
        tokenizer: turns ids into text.
        skip_prompt: leave the prompt out.
        skip_special_tokens: leave special tokens out.
        write: where pieces go, standard output when None.
    """

    def __init__(
        self,
        tokenizer: Detokenizer,
        skip_prompt: bool = False,
        *,
        skip_special_tokens: bool = False,
        write: Callable[[str], object] | None = None,
    ) -> None:
        self._rows = _Rows(tokenizer, skip_prompt, skip_special_tokens)
        self._write = write or _to_standard_output
        self._held: list[str] = []

    def put(self, value: Tensor) -> None:
        """Print what these tokens complete."""
        pieces = self._rows.put(value)
        if len(pieces) == 1:
            self._write(pieces[0])
        else:
            # Rows of a batch advance together; printed as they come they would be unreadable.
            self._held = [a + b for a, b in zip(self._held or [""] * len(pieces), pieces, strict=True)]

    def end(self) -> None:
        """Print what is held back, and a line break."""
        rest = self._rows.end()
        held = self._held or [""] * len(rest)
        self._held = []
        self._write("".join(a + b + "\n" for a, b in zip(held, rest, strict=True)))


@final
class TextIteratorStreamer:
    """An iterator over pieces of text, for a consumer in another thread than `generate`.

    Iterating gives the text of a single sequence. `rows()` gives (sequence, piece) for a batch of any size.

    Args:
        tokenizer: turns ids into text.
        skip_prompt: leave the prompt out.
        timeout: seconds to wait for a piece before `queue.Empty` is raised; None waits for ever.
        skip_special_tokens: leave special tokens out.
    """

    def __init__(
        self,
        tokenizer: Detokenizer,
        skip_prompt: bool = False,
        timeout: float | None = None,
        *,
        skip_special_tokens: bool = False,
    ) -> None:
        self._rows = _Rows(tokenizer, skip_prompt, skip_special_tokens)
        self._queue: Queue[tuple[int, str] | None] = Queue()
        self._timeout = timeout

    def put(self, value: Tensor) -> None:
        """Queue what these tokens complete."""
        for row, piece in enumerate(self._rows.put(value)):
            if piece:
                self._queue.put((row, piece))

    def end(self) -> None:
        """Queue what is held back, and the end."""
        for row, piece in enumerate(self._rows.end()):
            if piece:
                self._queue.put((row, piece))
        self._queue.put(None)

    def __iter__(self) -> Iterator[str]:
        for _, piece in self.rows():
            yield piece

    def rows(self) -> Iterator[tuple[int, str]]:
        """Pieces of every sequence as they come."""
        while (item := self._queue.get(timeout=self._timeout)) is not None:
            yield item


@final
class AsyncTextIteratorStreamer:
    """As `TextIteratorStreamer`, for a consumer in the event loop that was running when it was made."""

    def __init__(
        self,
        tokenizer: Detokenizer,
        skip_prompt: bool = False,
        timeout: float | None = None,
        *,
        skip_special_tokens: bool = False,
    ) -> None:
        self._rows = _Rows(tokenizer, skip_prompt, skip_special_tokens)
        self._queue: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout

    def put(self, value: Tensor) -> None:
        """Queue what these tokens complete; called from the thread that generates."""
        self._send([(row, piece) for row, piece in enumerate(self._rows.put(value)) if piece])

    def end(self) -> None:
        """Queue what is held back, and the end."""
        self._send([*((row, piece) for row, piece in enumerate(self._rows.end()) if piece), None])

    async def __aiter__(self) -> AsyncIterator[str]:
        async for _, piece in self.rows():
            yield piece

    async def rows(self) -> AsyncIterator[tuple[int, str]]:
        """Pieces of every sequence as they come."""
        while (item := await asyncio.wait_for(self._queue.get(), self._timeout)) is not None:
            yield item

    def _send(self, items: list[tuple[int, str] | None]) -> None:
        for item in items:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)


@final
class _Rows:
    """Tokens of a batch into pieces of text, one stream per sequence."""

    def __init__(self, tokenizer: Detokenizer, skip_prompt: bool, skip_special_tokens: bool) -> None:
        self._tokenizer, self._skip_special_tokens = tokenizer, skip_special_tokens
        self._skip_next = skip_prompt
        self._skip_prompt = skip_prompt
        self._streams: list[TextStream] = []

    def put(self, value: Tensor) -> list[str]:
        """One piece per sequence; tokens are (B, T) or (B,), and a single sequence may be (T,)."""
        # A 1-d tensor is one token for each known sequence, or several for the only one.
        several = value.dim() == 1 and len(self._streams) > 1
        rows = value[:, None].tolist() if several else value.reshape(-1, value.shape[-1]).tolist()
        if not self._streams:
            self._streams = [
                TextStream(self._tokenizer, skip_special_tokens=self._skip_special_tokens) for _ in rows
            ]
        if self._skip_next:
            self._skip_next = False
            return [""] * len(rows)
        return [stream.push(ids) for stream, ids in zip(self._streams, rows, strict=True)]

    def end(self) -> list[str]:
        """What each sequence held back; the next tokens are a prompt again."""
        rest = [stream.finish() for stream in self._streams]
        self._streams, self._skip_next = [], self._skip_prompt
        return rest


def _to_standard_output(piece: str) -> None:
    print(piece, end="", flush=True)  # noqa: T201 - printing is what this streamer is for
