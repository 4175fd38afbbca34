"""From a label for each token to named things: the aggregation strategies of token classification.

Axes: T tokens, L labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, assert_never

import torch
from torch import Tensor

from hf_pipelines.records import EntityGroup

WordStrategy: TypeAlias = Literal["first", "average", "max"]
GroupStrategy: TypeAlias = Literal["simple"] | WordStrategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """A token, or a word, with its scores [L] and its characters `[start, end)` in the text.

    `continues` says that it is not the first token of its word.
    """

    start: int
    end: int
    scores_L: Tensor
    continues: bool = False

    def best(self) -> tuple[int, float]:
        """The likeliest label and its score."""
        label = int(self.scores_L.argmax())
        return label, float(self.scores_L[label])


def group_entities(
    text: str, tokens: Sequence[Tagged], labels: Sequence[str], strategy: GroupStrategy
) -> list[EntityGroup]:
    """Neighbouring tokens or words of one kind joined; things labelled "O" are groups too.

    "simple" takes each token as it is. The others first give every word one label: that of its first token,
    of the average of its tokens, or of its most certain token.
    """
    units = tokens if strategy == "simple" else [_word(word, strategy) for word in _words(tokens)]
    best = [unit.best() for unit in units]
    groups: list[list[int]] = []
    for place, (label, _) in enumerate(best):
        begins, kind = _tag(labels[label])
        if groups and not begins and kind == _tag(labels[best[groups[-1][-1]][0]])[1]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [
        _group(
            text, _tag(labels[best[group[0]][0]])[1], [units[i] for i in group], [best[i][1] for i in group]
        )
        for group in groups
    ]


def merge_windows(entities: Iterable[EntityGroup]) -> list[EntityGroup]:
    """Things found in overlapping windows, each once: of two that overlap, the longer or else likelier."""
    kept: list[EntityGroup] = []
    for entity in sorted(entities, key=lambda found: found["start"]):
        if kept and entity["start"] < kept[-1]["end"]:
            if _strength(entity) > _strength(kept[-1]):
                kept[-1] = entity
        else:
            kept.append(entity)
    return kept


def continues_word(text: str, start: int, end: int, token: str, *, marked: bool) -> bool:
    """Whether a token goes on with the word before it.

    `marked` vocabularies write "##" before such tokens, so that they are longer than what they stand for; in
    others a word begins after a space.
    """
    if marked:
        return len(token) != end - start
    return start > 0 and " " not in text[start - 1 : start + 1]


def _strength(entity: EntityGroup) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _words(tokens: Sequence[Tagged]) -> list[list[Tagged]]:
    starts = [place for place, token in enumerate(tokens) if place == 0 or not token.continues]
    return [list(tokens[start:end]) for start, end in pairwise([*starts, len(tokens)])]


def _word(tokens: Sequence[Tagged], strategy: WordStrategy) -> Tagged:
    match strategy:
        case "first":
            scores_L = tokens[0].scores_L
        case "average":
            scores_L = torch.stack([token.scores_L for token in tokens]).mean(0)
        case "max":
            scores_L = max((token.scores_L for token in tokens), key=lambda scores: float(scores.max()))
        case _:
            assert_never(strategy)
    return Tagged(start=tokens[0].start, end=tokens[-1].end, scores_L=scores_L)


def _tag(label: str) -> tuple[bool, str]:
    """Whether a label begins a thing, and of which kind; a label without prefix continues one."""
    if label[:2] in ("B-", "I-"):
        return label[0] == "B", label[2:]
    return False, label


def _group(text: str, kind: str, units: Sequence[Tagged], scores: Sequence[float]) -> EntityGroup:
    start, end = units[0].start, units[-1].end
    # Some tokenizers count the space before a word as part of it; the name of a thing has none.
    start += len(text[start:end]) - len(text[start:end].lstrip())
    end = start + len(text[start:end].rstrip())
    return {
        "entity_group": kind,
        "score": sum(scores) / len(scores),
        "word": text[start:end],
        "start": start,
        "end": end,
    }
