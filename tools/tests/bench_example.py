"""Two sides whose times are known, for the tests of the harness."""

from pathlib import Path

from tools.bench import Case, Workload


def write(folder: Path) -> None:
    (folder / "number").write_text("7")


def quick(folder: Path) -> Workload:
    number = float((folder / "number").read_text())
    return lambda: {"seconds": 0.5, "check": number, "tokens": 3.0}


def slow(folder: Path) -> Workload:
    number = float((folder / "number").read_text())
    print("libraries may print")
    return lambda: {"seconds": 2.0, "check": number, "tokens": 3.0}


def wrong(folder: Path) -> Workload:
    return lambda: {"seconds": 1.0, "check": 8.0}


def broken(folder: Path) -> Workload:
    raise RuntimeError("this side cannot start")


CASES = (
    Case(name="same", ours=quick, peer=slow, prepare=write, goal=3, samples=3),
    Case(name="fresh", ours=quick, peer=slow, prepare=write, fresh=True, samples=2),
    Case(name="different", ours=quick, peer=wrong, prepare=write, samples=1),
    Case(name="broken", ours=broken, peer=quick, prepare=write, samples=1),
)
