"""Runs a case: two processes side by side, their calls taken in turn so both see the same machine."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Literal

from tools.bench import cases as case_modules
from tools.bench.case import Case, Result, Side

SideName = Literal["ours", "peer"]
Sample = Mapping[str, float]
OWN_KEYS = frozenset({"seconds", "peak_rss"})


class BenchmarkError(RuntimeError):
    """A side stopped before it answered; its own traceback stands above on standard error."""


def discover() -> dict[str, tuple[str, Case]]:
    """Every case by name, with the module that holds it."""
    found: dict[str, tuple[str, Case]] = {}
    for info in pkgutil.iter_modules(case_modules.__path__, f"{case_modules.__name__}."):
        for case in importlib.import_module(info.name).CASES:
            if case.name in found:
                raise ValueError(
                    f"two cases are called {case.name!r}: in {found[case.name][0]} and {info.name}"
                )
            found[case.name] = (info.name, case)
    return found


@contextmanager
def worker(
    module: str, case: Case, side: SideName, folder: Path, threads: int
) -> Iterator[Callable[[], Sample]]:
    """A process serving one side; calling what it yields takes one sample."""
    command = [sys.executable, "-m", "tools.bench.worker", module, case.name, side, str(folder)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def answer() -> str:
        line = stdout.readline()
        if not line:
            raise BenchmarkError(f"{case.name}: the {side} side ended with exit status {process.wait()}")
        return line

    def sample() -> Sample:
        stdin.write("\n")
        stdin.flush()
        values: dict[str, float] = json.loads(answer())
        return values

    try:
        answer()
        yield sample
    finally:
        stdin.close()
        stdout.close()
        process.wait()


def environment(threads: int) -> dict[str, str]:
    """The environment of both sides: a fixed number of threads and no network."""
    return os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def prepare(module: str, case: Case, scratch: Path, threads: int) -> Path:
    """The folder `case.prepare` filled, made on first use; cases naming the same function share it."""
    if case.prepare is None:
        return scratch
    folder = scratch / f"{case.prepare.__module__}.{case.prepare.__qualname__}"
    if not folder.exists():
        folder.mkdir()
        command = [sys.executable, "-m", "tools.bench.worker", module, case.name, "prepare", str(folder)]
        subprocess.run(command, check=True, env=environment(threads))
    return folder


def run(module: str, case: Case, *, scratch: Path, threads: int, samples: int | None = None) -> Result:
    """Measure both sides of `case`, alternating which of them goes first."""
    folder = prepare(module, case, scratch, threads)
    rounds = samples or case.samples
    taken: dict[SideName, list[Sample]] = {"ours": [], "peer": []}

    def order(index: int) -> tuple[SideName, SideName]:
        return ("ours", "peer") if index % 2 == 0 else ("peer", "ours")

    if case.fresh:
        for index in range(rounds):
            for side in order(index):
                with worker(module, case, side, folder, threads) as sample:
                    taken[side].append(sample())
    else:
        with ExitStack() as stack:
            sides: dict[SideName, Callable[[], Sample]] = {
                side: stack.enter_context(worker(module, case, side, folder, threads)) for side in order(0)
            }
            for side in order(0):
                sides[side]()  # the first call warms caches and is not counted
            for index in range(rounds):
                for side in order(index):
                    taken[side].append(sides[side]())
    return Result(
        case=case.name,
        goal=case.goal,
        tolerance=case.tolerance,
        ours=summarise(taken["ours"]),
        peer=summarise(taken["peer"]),
    )


def summarise(samples: list[Sample]) -> Side:
    """Times as taken, the highest peak, and the median of every other number."""
    return Side(
        seconds=tuple(sample["seconds"] for sample in samples),
        peak_rss=int(max(sample["peak_rss"] for sample in samples)),
        metrics={key: median(s[key] for s in samples) for key in samples[0] if key not in OWN_KEYS},
    )
