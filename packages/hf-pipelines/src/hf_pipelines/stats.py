"""What a pipeline has done so far, counted across threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import final


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """Counts since the pipeline was made. Subtract an earlier reading to see one call alone."""

    inputs: int = 0
    rows: int = 0
    forwards: int = 0
    tokens: int = 0
    padding: int = 0
    forward_seconds: float = 0.0

    @property
    def padding_ratio(self) -> float:
        """Share of all computed token positions that were padding, 0 to 1."""
        computed = self.tokens + self.padding
        return self.padding / computed if computed else 0.0

    def __sub__(self, earlier: RunStats) -> RunStats:
        return RunStats(
            inputs=self.inputs - earlier.inputs,
            rows=self.rows - earlier.rows,
            forwards=self.forwards - earlier.forwards,
            tokens=self.tokens - earlier.tokens,
            padding=self.padding - earlier.padding,
            forward_seconds=self.forward_seconds - earlier.forward_seconds,
        )

    def __add__(self, more: RunStats) -> RunStats:
        return RunStats(
            inputs=self.inputs + more.inputs,
            rows=self.rows + more.rows,
            forwards=self.forwards + more.forwards,
            tokens=self.tokens + more.tokens,
            padding=self.padding + more.padding,
            forward_seconds=self.forward_seconds + more.forward_seconds,
        )


@final
class Meter:
    """A running total that several threads may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = RunStats()

    def add(self, more: RunStats) -> None:
        """Add one reading."""
        with self._lock:
            self._total = self._total + more

    def read(self) -> RunStats:
        """The total now."""
        with self._lock:
            return self._total
