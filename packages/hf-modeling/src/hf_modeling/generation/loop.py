"""Greedy decoding and sampling: the loop that most calls run."""

from __future__ import annotations

from collections.abc import Iterator

from hf_modeling.generation.run import Run


def decode(run: Run) -> Iterator[list[int]]:
    """Choose token after token until every sequence ended; gives the tokens of each step, -1 for ended rows."""
    output = run.prefill()
    while True:
        yield run.append(run.sampler(run.scores(output), run.generated))
        if run.over:
            return
        output = run.step()
