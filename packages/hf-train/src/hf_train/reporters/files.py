"""Figures in plain files beside the checkpoints: one JSON object a line, or a table of step, name and value."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, final

from hf_hub_io import atomic_write_text
from hf_train.reporters.base import RunInfo


@final
class JsonLines:
    """`logs.jsonl` in the output folder: `{"step": 10, "train/loss": 2.5, ...}` a line."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def start(self, run: RunInfo) -> None:
        """Open the file; of a resumed run, what was logged after its checkpoint is taken out first."""
        path = run.output_dir / "logs.jsonl"
        _trim(path, run.step, lambda line: int(json.loads(line)["step"]))
        self._file = path.open("a", encoding="utf-8")

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """One line, on the disk at once."""
        assert self._file is not None, "start comes first"
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()

    def finish(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


@final
class Csv:
    """`logs.csv` in the output folder, with the columns step, name and value."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def start(self, run: RunInfo) -> None:
        """Open the file; of a resumed run, what was logged after its checkpoint is taken out first."""
        path = run.output_dir / "logs.csv"
        _trim(path, run.step, lambda line: int(line.partition(",")[0]), header="step,name,value")
        self._file = path.open("a", encoding="utf-8", newline="")

    def record(self, figures: Mapping[str, float], step: int) -> None:
        """One row for each number."""
        assert self._file is not None, "start comes first"
        csv.writer(self._file, lineterminator="\n").writerows(
            [step, name, value] for name, value in figures.items()
        )
        self._file.flush()

    def finish(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _trim(path: Path, step: int, step_of: Callable[[str], int], header: str = "") -> None:
    """Keep the lines up to `step`; none of a run that begins at 0."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() and step else []
    kept = [line for line in lines if line and line != header and step_of(line) <= step]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, "".join(f"{line}\n" for line in ([header] if header else []) + kept))
