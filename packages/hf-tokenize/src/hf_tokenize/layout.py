"""Boxes of words on a page, carried over to tokens: what LayoutLM and its kin read beside the ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from hf_tokenize.batch import BatchEncoding
from hf_tokenize.errors import OptionError

Box: TypeAlias = "tuple[int, int, int, int] | list[int]"
"""Left, top, right, bottom, in thousandths of the page."""
FIRST_BOX: Final = (0, 0, 0, 0)
LAST_BOX: Final = (1000, 1000, 1000, 1000)


def token_boxes(
    batch: BatchEncoding[object],
    boxes: Sequence[Sequence[Box]],
    *,
    first: Box = FIRST_BOX,
    last: Box = LAST_BOX,
    padding: Box = FIRST_BOX,
) -> list[list[list[int]]]:
    """The box of every token of a batch of word lists (`is_split_into_words=True`), shape (rows, tokens, 4).

    Tokens of a word get the word's box; `first` is that of special tokens before the words (or between question and
    words), `last` that of the special token at the end, `padding` that of padding. In pairs, `boxes` are those of the
    second text and words of the first (the question) get `padding`.

    Raises OptionError when a row has words without a box, or a box outside 0 to 1000.
    """
    samples = batch.data.get("overflow_to_sample_mapping")
    found: list[list[list[int]]] = []
    for row, encoding in enumerate(batch.encodings):
        sample = samples[row] if isinstance(samples, list) else row
        own = boxes[sample]
        _check(own, sample)
        texts = encoding.n_sequences
        ends = [i for i, mask in enumerate(encoding.attention_mask) if mask]
        result = []
        for token in range(len(encoding)):
            word, sequence = encoding.word_ids[token], encoding.sequence_ids[token]
            if not encoding.attention_mask[token]:
                box = padding
            elif sequence is None:
                box = last if token == ends[-1] else first
            elif sequence == texts - 1 and word is not None:
                if word >= len(own):
                    raise OptionError(
                        f"row {sample} has {len(own)} boxes and a word {word}",
                        fix="give one box for every word",
                    )
                box = own[word]
            else:
                box = padding
            result.append(list(box))
        found.append(result)
    return found


def _check(boxes: Sequence[Box], row: int) -> None:
    for word, box in enumerate(boxes):
        if len(box) != 4 or not all(0 <= value <= 1000 for value in box):
            raise OptionError(
                f"the box of word {word} in row {row} is {tuple(box)}",
                fix="scale boxes to thousandths of the page: 1000 * x / width, 1000 * y / height",
            )
