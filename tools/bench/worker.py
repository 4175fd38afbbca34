"""One side of one case in a process of its own: sets up, then runs one timed call per line read.

Answers are JSON lines on the original standard output; whatever libraries print goes to standard error.
"""

import gc
import importlib
import json
import os
import sys
from pathlib import Path
from time import perf_counter

from tools.bench.case import Case


def find(module: str, name: str) -> Case:
    """The case `name` of the case module `module`."""
    cases: tuple[Case, ...] = importlib.import_module(module).CASES
    return next(case for case in cases if case.name == name)


def peak_rss() -> int:
    """This process's peak resident memory in bytes.

    Read from the kernel's own high-water mark: `getrusage` starts from the parent's value after a fork.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM line: memory can be measured on Linux only")


def main(module: str, name: str, side: str, folder: Path) -> None:
    """Serve one side: `prepare`, `ours` or `peer`."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    case = find(module, name)
    if side == "prepare":
        if case.prepare is not None:
            case.prepare(folder)
        return
    workload = (case.ours if side == "ours" else case.peer)(folder)
    answers.write("ready\n")
    for _ in sys.stdin:
        gc.collect()
        start = perf_counter()
        metrics = dict(workload())
        metrics.setdefault("seconds", perf_counter() - start)
        answers.write(json.dumps(metrics | {"peak_rss": peak_rss()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
