"""A task without a model, for tests of whatever is built on the runner."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class EchoTask:
    """Cuts a text into chunks of at most `width` letters and joins them again in upper case.

    A text that starts with "unreadable", "poison" or "unwritable" fails in preprocess, forward or
    postprocess; so does a pass over more than `most_rows` chunks. `passes` records what shared a pass, unless
    it is None.
    """

    width: int = 1_000
    most_rows: int = 1_000
    passes: list[list[str]] | None = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def preprocess(self, inputs: Sequence[str]) -> list[list[str]]:
        """Chunks of every text."""
        for text in inputs:
            if text.startswith("unreadable"):
                raise ValueError(f"cannot read {text!r}")
        return [[text[at : at + self.width] for at in range(0, len(text), self.width)] for text in inputs]

    def length(self, chunk: str) -> int:
        """Letters."""
        return len(chunk)

    def forward(self, chunks: Sequence[str]) -> Sequence[str]:
        """The chunks in upper case."""
        if self.passes is not None:
            with self._lock:
                self.passes.append(list(chunks))
        if len(chunks) > self.most_rows:
            raise MemoryError(f"{len(chunks)} rows do not fit")
        if any(chunk.startswith("poison") for chunk in chunks):
            raise RuntimeError("the forward pass failed")
        return [chunk.upper() for chunk in chunks]

    def postprocess(self, chunks: Sequence[str], raws: Sequence[str]) -> str:
        """The whole text again."""
        if any(chunk.startswith("unwritable") for chunk in chunks):
            raise KeyError("no record")
        return "".join(raws)
