"""Numbers as codes of a few levels: the nearest code without a search, and two codes of a byte at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

_MAX_CELLS = 1 << 14


@final
@dataclass(frozen=True, eq=False)
class Nearest:
    """Rounds to the nearest of up to 256 levels; made by `of_levels`.

    The span between the outermost thresholds is cut into equal cells, each with at most one threshold, so the
    level is the cell's first level, plus one where the number lies above the cell's threshold.
    """

    codes: Tensor  # uint8 (levels,): what is written for each level, in rising order
    thresholds: Tensor  # float32 (levels - 1,): above the i-th, the level is i + 1 or more
    first: Tensor  # uint8 (cells,)
    threshold: Tensor  # float32 (cells,): infinite where a cell has none
    start: float
    per_cell: float

    @classmethod
    def of_levels(cls, values: Tensor) -> Nearest:
        """For these values (n,), the code of each being its index; a tie goes to the lower value."""
        codes = values.argsort(stable=True)
        rising = values.float()[codes]
        return cls.of_thresholds((rising[1:] + rising[:-1]) / 2, codes.to(torch.uint8))

    @classmethod
    def of_thresholds(cls, thresholds: Tensor, codes: Tensor) -> Nearest:
        """`codes[i]` for numbers above `thresholds[i - 1]` and not above `thresholds[i]`; thresholds rise."""
        thresholds = thresholds.float()
        start = float(thresholds[0])
        gap = float(thresholds.diff().min()) if len(thresholds) > 1 else 1.0
        span = float(thresholds[-1]) - start
        # Half the smallest gap, so that rounding of the cell's index cannot put two thresholds into one.
        cells = int(2 * span / gap) + 3
        assert cells <= _MAX_CELLS, f"levels too uneven for {_MAX_CELLS} cells"
        per_cell = 2 / gap
        # The same rounding as in `level`: a threshold is looked for in the cell where its equals land.
        cell = _cell(thresholds.clone(), start, per_cell, cells)
        threshold = torch.full((cells,), torch.inf, dtype=torch.float32, device="cpu")
        threshold[cell.long()] = thresholds
        first = torch.searchsorted(cell, torch.arange(cells, dtype=torch.int32, device="cpu")).to(torch.uint8)
        return cls(codes, thresholds, first, threshold, start, per_cell)

    def code(self, x: Tensor) -> Tensor:
        """The codes of flat float32 numbers, uint8 of the same length; `x` is used as scratch space.

        NaN has no meaning here: callers refuse it first.
        """
        if x.device.type != "cpu":
            level = torch.bucketize(x, self.thresholds.to(x.device), out_int32=True)
            return self.codes.to(x.device)[level.long()]
        cell = _cell(x.clone(), self.start, self.per_cell, len(self.first))
        level = self.first.index_select(0, cell)
        level += (x > self.threshold.index_select(0, cell)).view(torch.uint8)
        return self.codes.index_select(0, level.int())


def _cell(x: Tensor, start: float, per_cell: float, cells: int) -> Tensor:
    return x.sub_(start).mul_(per_cell).add_(1.0).clamp_(0.0, float(cells - 1)).to(torch.int32)


def byte_pairs(levels: Tensor, *, low_first: bool) -> Tensor:
    """What each byte of two 4-bit codes stands for: (256,) int64, whose bytes are the two float32 in order.

    One gather from it, viewed as float32, decodes two numbers.
    """
    upper, lower = levels.float().repeat_interleave(16), levels.float().repeat(16)
    pair = (lower, upper) if low_first else (upper, lower)
    return torch.stack(pair, dim=1).view(torch.int64).view(-1)
