from __future__ import annotations

import pytest
import torch

from hf_pipelines.entities import (
    GroupStrategy,
    Tagged,
    continues_word,
    group_entities,
    merge_windows,
)
from hf_pipelines.records import EntityGroup

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TEXT = "Anna Maria visited New York"


def tagged(start: int, end: int, *scores: float, continues: bool = False) -> Tagged:
    return Tagged(start=start, end=end, scores_L=torch.tensor(scores), continues=continues)


def one_hot(start: int, end: int, label: str, score: float = 0.9, *, continues: bool = False) -> Tagged:
    rest = (1 - score) / (len(LABELS) - 1)
    scores = [score if name == label else rest for name in LABELS]
    return tagged(start, end, *scores, continues=continues)


def group(kind: str, start: int, end: int, score: float) -> dict[str, object]:
    word = TEXT[start:end]
    return {
        "entity_group": kind,
        "score": pytest.approx(score, abs=1e-6),
        "word": word,
        "start": start,
        "end": end,
    }


def test_neighbours_of_one_kind_join_and_a_b_tag_begins_anew() -> None:
    tokens = [
        one_hot(0, 4, "B-PER", 0.8),
        one_hot(5, 10, "I-PER", 0.6),
        one_hot(11, 18, "O"),
        one_hot(19, 22, "B-LOC"),
        one_hot(23, 27, "B-LOC"),
    ]
    assert group_entities(TEXT, tokens, LABELS, "simple") == [
        group("PER", 0, 10, 0.7),
        group("O", 11, 18, 0.9),
        group("LOC", 19, 22, 0.9),
        group("LOC", 23, 27, 0.9),
    ]


def test_labels_without_prefix_join_while_they_stay_the_same() -> None:
    tokens = [tagged(0, 4, 0.1, 0.9), tagged(5, 10, 0.1, 0.9), tagged(11, 18, 0.9, 0.1)]
    assert [(g["entity_group"], g["word"]) for g in group_entities(TEXT, tokens, ["X", "Y"], "simple")] == [
        ("Y", "Anna Maria"),
        ("X", "visited"),
    ]


@pytest.mark.parametrize(
    ("strategy", "kind", "score"), [("first", "A", 0.6), ("average", "B", 0.575), ("max", "B", 0.75)]
)
def test_each_strategy_gives_a_word_one_label(strategy: GroupStrategy, kind: str, score: float) -> None:
    word = [tagged(19, 21, 0.6, 0.4), tagged(21, 22, 0.25, 0.75, continues=True)]
    assert group_entities(TEXT, word, ["A", "B"], strategy) == [group(kind, 19, 22, score)]


def test_simple_may_cut_a_word() -> None:
    word = [tagged(19, 21, 0.6, 0.4), tagged(21, 22, 0.25, 0.75, continues=True)]
    assert [g["word"] for g in group_entities(TEXT, word, ["A", "B"], "simple")] == ["Ne", "w"]


def test_a_space_that_the_tokenizer_counts_to_the_word_is_left_out() -> None:
    assert group_entities(TEXT, [one_hot(18, 27, "B-LOC")], LABELS, "simple") == [group("LOC", 19, 27, 0.9)]


def test_no_tokens_make_no_groups() -> None:
    assert group_entities("", [], LABELS, "simple") == []
    assert group_entities("", [], LABELS, "first") == []


def test_of_two_that_overlap_the_longer_then_the_likelier_stays() -> None:
    spans = [("LOC", 19, 22, 0.99), ("LOC", 19, 27, 0.5), ("PER", 0, 4, 0.6), ("LOC", 0, 4, 0.7)]
    found: list[EntityGroup] = [
        {"entity_group": kind, "score": score, "word": TEXT[start:end], "start": start, "end": end}
        for kind, start, end, score in spans
    ]
    assert [(e["start"], e["end"], e["score"]) for e in merge_windows(found)] == [(0, 4, 0.7), (19, 27, 0.5)]
    assert merge_windows([]) == []


def test_what_continues_a_word_depends_on_the_vocabulary() -> None:
    assert continues_word("playing", 4, 7, "##ing", marked=True)
    assert not continues_word("play", 0, 4, "play", marked=True)
    assert continues_word("playing", 4, 7, "ing", marked=False)
    assert not continues_word("we play", 3, 7, "play", marked=False)
    assert not continues_word("we play", 2, 7, " play", marked=False)
    assert not continues_word("play", 0, 4, "play", marked=False)
