"""Tasks that the peer has no pipeline for, against references written out by hand on the peer's own models."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_pipelines import QuestionContext, pipeline
from hf_transformers.demo_data import corpus

# torchao, which the peer imports where it is installed, warns of its own age.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
MakeCheckpoint = Callable[..., Path]


@pytest.fixture(scope="module")
def peer() -> Any:
    return pytest.importorskip("transformers")


def every_span(
    peer: Any, folder: Path, item: QuestionContext, window: int, stride: int, longest: int
) -> tuple[list[tuple[float, int, int]], float]:
    """Every answer of every window as (score, start, end) in characters, and the score of no answer at all."""
    tokenizer = peer.AutoTokenizer.from_pretrained(folder)
    model = peer.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    encoding = tokenizer(
        item["question"],
        item["context"],
        truncation="only_second",
        max_length=window,
        stride=stride,
        padding=False,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    spans: list[tuple[float, int, int]] = []
    null_scores: list[float] = []
    for row in range(len(encoding["input_ids"])):
        inputs = {
            name: torch.tensor([encoding[name][row]])
            for name in ("input_ids", "token_type_ids", "attention_mask")
        }
        with torch.no_grad():
            output = model(**inputs)
        inside = [sequence == 1 for sequence in encoding.sequence_ids(row)]
        allowed = torch.tensor([place == 0 or ok for place, ok in enumerate(inside)])
        start = output.start_logits[0].masked_fill(~allowed, -1e4).softmax(0).tolist()
        end = output.end_logits[0].masked_fill(~allowed, -1e4).softmax(0).tolist()
        null_scores.append(start[0] * end[0])
        words, offsets = encoding.word_ids(row), encoding["offset_mapping"][row]
        for first in range(len(start)):
            for last in range(first, min(first + longest, len(start))):
                if inside[first] and inside[last]:
                    begin = min(
                        o[0]
                        for o, w, ok in zip(offsets, words, inside, strict=True)
                        if ok and w == words[first]
                    )
                    stop = max(
                        o[1]
                        for o, w, ok in zip(offsets, words, inside, strict=True)
                        if ok and w == words[last]
                    )
                    spans.append((start[first] * end[last], begin, stop))
    return spans, min(null_scores)


@pytest.fixture
def item() -> QuestionContext:
    return {"question": "How long does bread rise?", "context": " ".join(corpus()[24:40])}


@pytest.mark.parametrize(("window", "stride"), [(384, 128), (64, 16)])
def test_the_best_answer_is_the_best_span_of_all_windows(
    bert_checkpoint: MakeCheckpoint, peer: Any, item: QuestionContext, window: int, stride: int
) -> None:
    folder = bert_checkpoint("BertForQuestionAnswering")
    spans, _ = every_span(peer, folder, item, window, stride, 15)
    score, start, end = max(spans)
    answer = pipeline("question-answering", folder)(item, max_seq_len=window, doc_stride=stride)
    assert (answer["start"], answer["end"]) == (start, end)
    assert answer["answer"] == item["context"][start:end]
    assert answer["score"] == pytest.approx(score, abs=1e-5)


def test_answers_are_ranked_and_the_same_words_count_once(
    bert_checkpoint: MakeCheckpoint, peer: Any, item: QuestionContext
) -> None:
    folder = bert_checkpoint("BertForQuestionAnswering")
    spans, _ = every_span(peer, folder, item, 384, 128, 4)
    answers = pipeline("question-answering", folder)(item, top_k=5, max_answer_len=4)
    best = sorted(spans, reverse=True)[:5]
    expected: dict[str, float] = {}
    for score, start, end in best:
        text = item["context"][start:end]
        expected[text.lower()] = expected.get(text.lower(), 0.0) + score
    assert {answer["answer"].lower(): answer["score"] for answer in answers} == pytest.approx(
        expected, abs=1e-5
    )
    assert all(a["score"] >= b["score"] for a, b in pairwise(answers))


def test_no_answer_competes_when_it_may(
    bert_checkpoint: MakeCheckpoint, peer: Any, item: QuestionContext
) -> None:
    folder = bert_checkpoint("BertForQuestionAnswering")
    _, null_score = every_span(peer, folder, item, 384, 128, 15)
    answers = pipeline("question-answering", folder)(item, top_k=500, handle_impossible_answer=True)
    empty = [answer for answer in answers if not answer["answer"]]
    assert [(a["start"], a["end"]) for a in empty] == [(0, 0)]
    assert empty[0]["score"] == pytest.approx(null_score, abs=1e-6)


def test_questions_stream_in_order(bert_checkpoint: MakeCheckpoint, item: QuestionContext) -> None:
    pipe = pipeline("question-answering", bert_checkpoint("BertForQuestionAnswering"))
    items: list[QuestionContext] = [
        {"question": f"Question {place}?", "context": " ".join(corpus()[place : place + 1 + place % 4])}
        for place in range(20)
    ]
    singles = [pipe(one) for one in items]
    batched = pipe(items)
    assert [a["answer"] for a in batched] == [a["answer"] for a in singles]
    assert [a["score"] for a in batched] == pytest.approx([a["score"] for a in singles], abs=1e-5)


def vectors(peer: Any, folder: Path, texts: list[str]) -> Tensor:
    """Mean-pooled vectors of length one, by hand on the peer's model."""
    tokenizer, model = (
        peer.AutoTokenizer.from_pretrained(folder),
        peer.AutoModel.from_pretrained(folder).eval(),
    )
    rows = []
    with torch.no_grad():
        for text in texts:
            batch = tokenizer(text, padding=False, return_tensors="pt")
            rows.append(torch.nn.functional.normalize(model(**batch).last_hidden_state[0].mean(0), dim=0))
    return torch.stack(rows)


def test_similarities_are_cosines_of_the_vectors(peer: Any, minilm: Path) -> None:
    source, *sentences = corpus()[:12]
    by_hand = vectors(peer, minilm, [source, *sentences])
    ours = pipeline("sentence-similarity", minilm)({"source_sentence": source, "sentences": sentences})
    assert ours == pytest.approx((by_hand[1:] @ by_hand[0]).tolist(), abs=1e-5)


def test_an_embedding_model_ranks_by_cosine(peer: Any, minilm: Path) -> None:
    query, documents = "my computer has become slow", corpus()
    by_hand = vectors(peer, minilm, [query, *documents])
    scores = by_hand[1:] @ by_hand[0]
    ranking = pipeline("text-ranking", minilm)({"query": query, "documents": documents}, top_k=4)
    assert [document["corpus_id"] for document in ranking] == scores.topk(4).indices.tolist()
    assert [document["score"] for document in ranking] == pytest.approx(
        scores.topk(4).values.tolist(), abs=1e-5
    )
    assert all(document["text"] == documents[document["corpus_id"]] for document in ranking)


def test_a_cross_encoder_ranks_by_its_own_score(bert_checkpoint: MakeCheckpoint, peer: Any) -> None:
    folder = bert_checkpoint("BertForSequenceClassification", num_labels=1)
    query, documents = "what bats eat", corpus()[:20]
    tokenizer = peer.AutoTokenizer.from_pretrained(folder)
    model = peer.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        scores = [
            float(model(**tokenizer(query, text, padding=False, return_tensors="pt")).logits[0, 0].sigmoid())
            for text in documents
        ]
    ranking = pipeline("text-ranking", folder)({"query": query, "documents": documents})
    assert [d["corpus_id"] for d in ranking] == sorted(range(20), key=lambda n: scores[n], reverse=True)
    assert {d["corpus_id"]: d["score"] for d in ranking} == pytest.approx(dict(enumerate(scores)), abs=1e-5)
