"""Pipelines on models that learned their task here: right answers, exact offsets, alike one by one and batched."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from hf_pipelines import EntityGroup, QuestionContext, pipeline
from hf_tokenize import PreTrainedTokenizer
from integration_tests.pipelines import zoo


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizer:
    return zoo.tokenizer(tmp_path_factory.mktemp("words"))


def test_sentiment_is_learned(words: PreTrainedTokenizer, tmp_path: Path) -> None:
    pipe = pipeline("sentiment-analysis", zoo.sentiment(words, tmp_path), tokenizer=words)
    held_out = zoo.take(zoo.reviews(2), 100)
    records = pipe([text for text, _ in held_out])
    right = sum(record["label"] == label for record, (_, label) in zip(records, held_out, strict=True))
    assert right >= 97
    assert [pipe(text)[0]["label"] for text, _ in held_out[:20]] == [r["label"] for r in records[:20]]
    pipe.save_pretrained(tmp_path / "saved")
    again = pipeline("sentiment-analysis", tmp_path / "saved")
    assert again([text for text, _ in held_out[:20]]) == pipe([text for text, _ in held_out[:20]])


def test_names_are_found_where_they_stand(words: PreTrainedTokenizer, tmp_path: Path) -> None:
    pipe = pipeline("ner", zoo.entities(words, tmp_path), tokenizer=words, aggregation_strategy="average")
    held_out = zoo.take(zoo.people(2), 60)
    found = pipe([text for text, _ in held_out])
    assert sum(spans(groups) == places for groups, (_, places) in zip(found, held_out, strict=True)) >= 57
    for groups, (text, _) in zip(found, held_out, strict=True):
        assert all(text[group["start"] : group["end"]] == group["word"] for group in groups)
    # Of a text of several windows every find stands at its place in the whole, and none on another.
    whole = " ".join(text for text, _ in held_out[:6])
    groups = pipe(whole, stride=12)
    assert len(groups) > 6
    assert all(whole[group["start"] : group["end"]] == group["word"] for group in groups)
    assert all(one["end"] <= two["start"] for one, two in pairwise(groups))


def spans(groups: list[EntityGroup]) -> dict[str, tuple[int, int]]:
    return {group["entity_group"]: (group["start"], group["end"]) for group in groups}


def test_questions_are_answered_out_of_the_context(words: PreTrainedTokenizer, tmp_path: Path) -> None:
    pipe = pipeline("question-answering", zoo.answers(words, tmp_path), tokenizer=words)
    held_out = zoo.take(zoo.questions(2), 60)
    items: list[QuestionContext] = [{"question": q, "context": c} for q, c, _ in held_out]
    records = pipe(items)
    assert sum(r["answer"] == answer for r, (_, _, answer) in zip(records, held_out, strict=True)) >= 56
    for record, item in zip(records, items, strict=True):
        assert item["context"][record["start"] : record["end"]] == record["answer"]


def test_summaries_say_what_was_bought_and_where(words: PreTrainedTokenizer, tmp_path: Path) -> None:
    pipe = pipeline("summarization", zoo.summaries(words, tmp_path), tokenizer=words, max_new_tokens=8)
    held_out = zoo.take(zoo.reports(2), 40)
    records = pipe([text for text, _ in held_out])
    right = sum(r["summary_text"] == summary for r, (_, summary) in zip(records, held_out, strict=True))
    assert right >= 37
    assert pipe(held_out[0][0]) == [records[0]]
