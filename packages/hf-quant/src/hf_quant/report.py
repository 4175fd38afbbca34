"""The receipt of a quantization: what was decided about every weight, why, and what it saved and cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, final

from hf_hub_io.atomic import atomic_write_text

Decision = Literal["packed", "quantized", "unpacked", "plain"]
"""What became of a weight: kept packed as the checkpoint has it, packed on the way in, turned into plain numbers
on the way in, or left alone."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One weight of the model.

    codec: how it is packed; empty for plain weights.
    bytes_before: what it takes as plain numbers of the model's element type; `bytes_after`: what it takes now.
    error: relative error of the rounded weight, |W - W'| / |W| over the whole matrix; None if not measured.
    kernel: what calculates with it; empty for plain weights.
    """

    module: str
    decision: Decision
    reason: str
    codec: str
    bytes_before: int
    bytes_after: int
    error: float | None = None
    kernel: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizationReport:
    """A line for every linear layer, table of embeddings and group of experts; the totals are of these."""

    method: str
    lines: tuple[Line, ...]

    @property
    def bytes_before(self) -> int:
        """What the weights would take as plain numbers."""
        return sum(line.bytes_before for line in self.lines)

    @property
    def bytes_after(self) -> int:
        """What the weights take."""
        return sum(line.bytes_after for line in self.lines)

    def count(self, decision: Decision) -> int:
        """How many weights met this decision."""
        return sum(line.decision == decision for line in self.lines)

    def to_json(self) -> str:
        """All of it as JSON."""
        totals = {"bytes_before": self.bytes_before, "bytes_after": self.bytes_after}
        content = {"method": self.method, **totals, "weights": [asdict(line) for line in self.lines]}
        return json.dumps(content, indent=2) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the JSON to a file, which is whole or not there."""
        atomic_write_text(Path(path), self.to_json())

    def __str__(self) -> str:
        rows = [("weight", "decision", "before", "after", "error", "how"), *self._rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
        text = [
            "  ".join((*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1])).rstrip()
            for row in rows
        ]
        saved = self.bytes_before / self.bytes_after if self.bytes_after else 1.0
        summary = (
            f"{self.method}: {self.count('packed') + self.count('quantized')} of {len(self.lines)} weights packed, "
            f"{_size(self.bytes_before)} -> {_size(self.bytes_after)} ({saved:.2f}x smaller)"
        )
        return "\n".join([*text, summary])

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for line in self.lines:
            yield (
                line.module,
                line.decision,
                _size(line.bytes_before),
                _size(line.bytes_after),
                "" if line.error is None else f"{line.error:.4f}",
                "; ".join(filter(None, (line.codec, line.reason, line.kernel and f"by {line.kernel}"))),
            )


def _size(count: int) -> str:
    return f"{count / 1e6:,.2f} MB" if count >= 10_000 else f"{count:,} B"
