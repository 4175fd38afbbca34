"""Extractive question answering: where answers stand among the tokens, and how often a model points there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

from hf_tokenize import PreTrainedTokenizer
from hf_train.collators import Row
from hf_train.jobs.job import DataSpec, JobError
from hf_train.outputs import EvalPrediction


def answer_rows(
    raw: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizer, data: DataSpec, source: str
) -> Iterator[Row]:
    """Rows of `max_length` tokens with `start_positions` and `end_positions`.

    A long context becomes several rows that overlap by `stride` tokens. Where a piece does not hold the whole
    answer, and where there is none, both positions are 0, the first token.
    """
    for index, row in enumerate(raw):
        context = row[data.text or "context"]
        answer = _answer(row["answers"], context, f"row {index} of {source}")
        pieces = tokenizer(
            [row["question"]],
            [context],
            truncation="only_second",
            max_length=data.max_length,
            stride=data.stride,
            padding="max_length",
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        names = [name for name in pieces if name not in ("offset_mapping", "overflow_to_sample_mapping")]
        for piece in range(len(pieces["input_ids"])):
            spans: list[Any] = list(pieces["offset_mapping"][piece])
            start, end = _tokens(spans, pieces.sequence_ids(piece), answer)
            columns = {name: pieces[name][piece] for name in names}
            yield {**columns, "start_positions": start, "end_positions": end}


def _answer(answers: Mapping[str, Any], context: str, where: str) -> tuple[int, int] | None:
    """Where the first answer begins and ends, in characters."""
    try:
        texts, starts = answers["text"], answers["answer_start"]
    except (KeyError, TypeError):
        raise JobError(
            f"{where}: answers is {answers!r}", fix='write {"text": [...], "answer_start": [...]}'
        ) from None
    if not texts:
        return None
    text, start = str(texts[0]), int(starts[0])
    if context[start : start + len(text)] != text:
        found = context[start : start + len(text)]
        raise JobError(f"{where}: the answer is {text!r}, and at {start} the context says {found!r}")
    return start, start + len(text)


def _tokens(
    spans: Sequence[tuple[int, int]], sequences: Sequence[int | None], answer: tuple[int, int] | None
) -> tuple[int, int]:
    if answer is None:
        return 0, 0
    inside = [at for at, sequence in enumerate(sequences) if sequence == 1]
    if not inside or spans[inside[0]][0] > answer[0] or spans[inside[-1]][1] < answer[1]:
        return 0, 0
    touched = [at for at in inside if spans[at][1] > answer[0] and spans[at][0] < answer[1]]
    return touched[0], touched[-1]


@final
class SpanAccuracy:
    """`exact`: the share of rows whose start and end are both pointed at; `start` and `end` by themselves."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.rows = self.starts = self.ends = self.both = 0

    def update(self, batch: EvalPrediction) -> None:
        """Compare the largest logits with the positions."""
        starts_BT, ends_BT = batch.predictions[0], batch.predictions[1]
        start_B, end_B = batch.label_ids[0], batch.label_ids[1]
        right_start, right_end = starts_BT.argmax(-1) == start_B, ends_BT.argmax(-1) == end_B
        self.rows += len(start_B)
        self.starts += int(right_start.sum())
        self.ends += int(right_end.sum())
        self.both += int((right_start & right_end).sum())

    def compute(self) -> Mapping[str, float]:
        """The shares."""
        rows = self.rows or math.nan
        return {"exact": self.both / rows, "start": self.starts / rows, "end": self.ends / rows}
