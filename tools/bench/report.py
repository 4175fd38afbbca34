"""From results to the table people read and the JSON machines keep."""

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

from rich.table import Table

from tools.bench.case import Result, Side

MIB = 2**20


def ratio(result: Result) -> float:
    """How many times faster than the peer: above one is faster."""
    return median(result.peer.seconds) / median(result.ours.seconds)


def agrees(result: Result) -> bool:
    """Whether both sides computed the same thing, where the case gives a number to compare."""
    ours, peer = result.ours.metrics.get("check"), result.peer.metrics.get("check")
    if ours is None or peer is None:
        return ours is peer
    return abs(ours - peer) <= result.tolerance * max(abs(ours), abs(peer))


def spread(side: Side) -> float:
    """Distance between the quartiles as a share of the median."""
    if len(side.seconds) < 2:
        return 0.0
    low, _, high = quantiles(side.seconds, n=4, method="inclusive")
    return (high - low) / median(side.seconds)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would say: `1.23 s`, `4.56 ms`, `7.89 us`."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def extras(result: Result) -> str:
    """Other numbers of the workload as `name ours/peer`, without the agreement check."""
    names = [name for name in result.ours.metrics if name != "check" and name in result.peer.metrics]
    return ", ".join(f"{n} {result.ours.metrics[n]:.4g}/{result.peer.metrics[n]:.4g}" for n in names)


def row(result: Result) -> tuple[str, ...]:
    """One table row, in the order of `COLUMNS`."""
    reached = result.goal is None or ratio(result) >= result.goal
    goal = "-" if result.goal is None else f"{result.goal:g}x {'met' if reached else 'missed'}"
    return (
        result.case,
        duration(median(result.ours.seconds)),
        duration(median(result.peer.seconds)),
        f"{ratio(result):.2f}x" + ("" if agrees(result) else " DIFFERENT ANSWERS"),
        goal,
        f"{spread(result.ours):.0%} / {spread(result.peer):.0%}",
        f"{min(result.peer.seconds) / min(result.ours.seconds):.2f}x",
        f"{result.ours.peak_rss / MIB:.0f} / {result.peer.peak_rss / MIB:.0f}",
        extras(result),
    )


COLUMNS = ("case", "ours", "peer", "peer/ours", "goal", "spread", "fastest", "peak RSS MiB", "ours/peer")


def table(results: list[Result]) -> Table:
    """The table for a terminal."""
    title = "times are medians; spread is the distance between quartiles; fastest is the ratio of the best samples"
    shown = Table(*COLUMNS, title=title)
    for result in results:
        shown.add_row(*row(result))
    return shown


def markdown(results: list[Result]) -> str:
    """The table for docs/benchmarks.md."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *(row(result) for result in results)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def save(results: list[Result], path: Path, *, threads: int) -> None:
    """Write every sample with the versions that produced them."""
    packages = ("torch", "transformers", "tokenizers", "hf-modeling", "hf-tokenize", "hf-pipelines")
    document = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": threads,
        "versions": {name: version(name) for name in packages},
        "results": [
            asdict(result) | {"ratio": ratio(result), "agrees": agrees(result)} for result in results
        ],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
