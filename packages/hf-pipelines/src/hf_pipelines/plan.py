"""Which rows share a forward pass: the cheapest split of rows sorted by length."""

from __future__ import annotations

from collections.abc import Sequence

from hf_pipelines.task import Limits


def plan_batches(lengths: Sequence[int], limits: Limits) -> list[list[int]]:
    """Batches of row numbers that cost the least, in the order of the earliest row of each.

    A pass over n rows costs `overhead + n * longest`. Among all splits of the sorted rows within the limits
    this is a cheapest one, so it never costs more than one row at a time, nor than batches in the order of
    arrival.
    """
    if len(lengths) == 1:
        return [[0]]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cost = [0] * (len(order) + 1)
    start = [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        longest = max(lengths[order[end - 1]], 1)
        most_rows = min(limits.rows, max(limits.tokens // longest, 1), end)
        cost[end], start[end] = min(
            (cost[end - rows] + limits.overhead + rows * longest, end - rows)
            for rows in range(1, most_rows + 1)
        )
    batches: list[list[int]] = []
    end = len(order)
    while end:
        batches.append(sorted(order[start[end] : end]))
        end = start[end]
    return sorted(batches)
