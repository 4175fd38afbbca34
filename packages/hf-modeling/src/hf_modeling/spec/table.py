"""Questions about tables: which cells answer, and what is to be done with their numbers (TAPAS, arXiv 2004.02349)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSupervision:
    """Training by the answer's number where nobody says how it is found.

    A question is one of cells where the probability of operations is at most `preference` and labels name cells.
    The answer's error costs `importance` times Huber's loss, with errors over `cutoff` left out with all else
    of their example. `average` says how the expected average is approximated.
    """

    preference: float
    importance: float
    normalized: bool
    huber_delta: float | None
    cutoff: float | None
    average: Literal["ratio", "first_order", "second_order"]
    aggregation_temperature: float
    sample_cells: bool
    sample_aggregations: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TableHead:
    """Scores of cells, of columns and of `aggregations`, operations on the cells' numbers.

    Segments 1 and 2 of a token are its column and row, from 1, below `columns` and `rows`. With `one_column` all
    cells of an answer are in one column; `empty_column` lets that be none. Labels that say yes weigh
    `positive_weight` where columns are free.
    """

    rows: int
    columns: int
    aggregations: int
    temperature: float
    one_column: bool
    empty_column: bool
    average_cells: bool
    positive_weight: float
    token_loss: bool
    aggregation_weight: float
    dropout: float
    zero_start: bool
    answers: AnswerSupervision | None
