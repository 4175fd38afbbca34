"""What one benchmark is: the same work written twice, once on ours and once on the peer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Workload = Callable[[], Mapping[str, float]]
"""One timed call. It returns numbers measured inside (tokens, bytes); two keys have a meaning:
`seconds` replaces the harness's own timing, `check` is a number on which both sides must agree."""

Setup = Callable[[Path], Workload]
"""Untimed: imports, loads and returns the workload. The path is the folder that `prepare` filled."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table.

    Modules under `tools/bench/cases` list theirs in a module-level tuple `CASES` and import heavy libraries
    only inside functions, because the parent process imports every case module.

    Attributes:
        name: the row's name on the command line and in the table.
        ours: set-up of our side.
        peer: set-up of the other side, run in its own process.
        goal: how many times faster than the peer we mean to be; None for a row that only records.
        prepare: fills a folder once for the run, in its own process; cases naming the same function share it.
        samples: timed calls a side.
        fresh: a new process for every sample, for what happens once in a process (imports, loads).
        tolerance: relative difference allowed between the two `check` values.
        gpu: needs a CUDA device; such rows run only with `--gpu`.
    """

    name: str
    ours: Setup
    peer: Setup
    goal: float | None = None
    prepare: Callable[[Path], None] | None = None
    samples: int = 7
    fresh: bool = False
    tolerance: float = 1e-3
    gpu: bool = False


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side of a case measured, times in seconds and memory in bytes."""

    seconds: tuple[float, ...]
    peak_rss: int
    metrics: Mapping[str, float]
    """Medians of what the workload returned."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Both sides of one case."""

    case: str
    goal: float | None
    tolerance: float
    ours: Side
    peer: Side
