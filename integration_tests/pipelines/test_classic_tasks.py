"""Classification, tagging, mask filling and zero-shot against the peer's pipelines on the same tiny checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hf_pipelines import pipeline
from hf_pipelines.entities import GroupStrategy
from hf_pipelines.tasks.text_classification import ScoreFunction
from hf_transformers.demo_data import corpus

# torchao, which the peer imports where it is installed, warns of its own age.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
MakeCheckpoint = Callable[..., Path]
PeerPipeline = Callable[..., Any]
LABELS = {0: "entailment", 1: "neutral", 2: "contradiction"}
TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}


def assert_same(ours: Any, theirs: Any, path: str = "") -> None:
    """Equal in structure, keys, text and numbers; scores to 1e-5."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), path
        for place, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{path}[{place}]")
    elif isinstance(theirs, str | int):
        assert ours == theirs, path
    else:
        assert ours == pytest.approx(float(theirs), abs=1e-5), path


@pytest.fixture
def texts() -> list[str]:
    return [corpus()[0], "Short.", *corpus()[5:12], " ".join(corpus()[12:20])]


@pytest.mark.parametrize("top_k", [1, 2, None])
def test_text_classification_ranks_as_the_peer(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, texts: list[str], top_k: int | None
) -> None:
    folder = bert_checkpoint("BertForSequenceClassification", id2label=LABELS)
    ours, theirs = pipeline("text-classification", folder), peer_pipeline("text-classification", folder)
    assert_same(ours(texts, top_k=top_k), theirs(texts, top_k=top_k))
    assert_same(ours(texts[0], top_k=top_k), theirs(texts[0], top_k=top_k))
    assert_same(pipeline("text-classification", folder, top_k=top_k)(texts), theirs(texts, top_k=top_k))


def test_text_classification_without_top_k_keeps_the_shapes_it_always_had(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, texts: list[str]
) -> None:
    folder = bert_checkpoint("BertForSequenceClassification", id2label=LABELS)
    ours, theirs = pipeline("sentiment-analysis", folder), peer_pipeline("sentiment-analysis", folder)
    assert_same(ours(texts[0]), theirs(texts[0]))
    assert_same(ours(texts), theirs(texts))
    assert_same(
        ours({"text": texts[0], "text_pair": texts[1]}), theirs({"text": texts[0], "text_pair": texts[1]})
    )


@pytest.mark.parametrize("function", ["sigmoid", "softmax", "none"])
def test_every_score_function_equals_the_peers(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, texts: list[str], function: ScoreFunction
) -> None:
    folder = bert_checkpoint("BertForSequenceClassification", id2label=LABELS)
    ours = pipeline("text-classification", folder)(texts, top_k=None, function_to_apply=function)
    theirs = peer_pipeline("text-classification", folder)(texts, top_k=None, function_to_apply=function)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "config",
    [
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 1},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ],
)
def test_the_head_decides_the_score_function(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, texts: list[str], config: dict[str, Any]
) -> None:
    folder = bert_checkpoint("BertForSequenceClassification", **config)
    ours, theirs = pipeline("text-classification", folder), peer_pipeline("text-classification", folder)
    assert_same(ours(texts, top_k=None), theirs(texts, top_k=None))


def test_tokens_are_labelled_as_by_the_peer(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, texts: list[str]
) -> None:
    folder = bert_checkpoint("BertForTokenClassification", id2label=TAGS)
    ours, theirs = pipeline("token-classification", folder), peer_pipeline("token-classification", folder)
    assert_same(ours(texts), theirs(texts))
    assert_same(ours(texts[0], ignore_labels=[]), theirs(texts[0], ignore_labels=[]))


def without_word(entities: Sequence[Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in entity.items() if key != "word"} for entity in entities]


def check_entities(text: str, ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """The same things in the same places; ours spell them as the text does, the peer's as the vocabulary does."""
    assert_same(without_word(ours), without_word(theirs))
    for a, b in zip(ours, theirs, strict=True):
        assert a["word"] == text[a["start"] : a["end"]]
        assert "".join(a["word"].lower().split()) == "".join(b["word"].replace("##", "").split())


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_named_things_are_the_peers(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, texts: list[str], strategy: GroupStrategy
) -> None:
    folder = bert_checkpoint("BertForTokenClassification", id2label=TAGS)
    ours = pipeline("ner", folder, aggregation_strategy=strategy)(texts)
    theirs = peer_pipeline("ner", folder, aggregation_strategy=strategy)(texts)
    for text, a, b in zip(texts, ours, theirs, strict=True):
        check_entities(text, a, b)
    assert_same(pipeline("ner", folder)(texts, aggregation_strategy=strategy), ours)


@pytest.mark.parametrize("stride", [0, 8])
def test_windows_of_long_texts_join_as_the_peers(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline, stride: int
) -> None:
    folder = bert_checkpoint("BertForTokenClassification", id2label=TAGS, max_length=32)
    text = " ".join(corpus()[:12])
    ours = pipeline("ner", folder, aggregation_strategy="simple", stride=stride)(text)
    theirs = peer_pipeline("ner", folder, aggregation_strategy="simple", stride=stride)(text)
    check_entities(text, ours, theirs)


def test_masks_are_filled_as_by_the_peer(
    bert_checkpoint: MakeCheckpoint, peer_pipeline: PeerPipeline
) -> None:
    folder = bert_checkpoint("BertForMaskedLM")
    ours, theirs = pipeline("fill-mask", folder), peer_pipeline("fill-mask", folder)
    one, several = "Paris is the [MASK] of France.", "A [MASK] and a [MASK] went to [MASK]."
    assert_same(ours(one), theirs(one))
    assert_same(ours(several, top_k=2), theirs(several, top_k=2))
    assert_same(ours([one, several, one]), theirs([one, several, one]))
    words = ["capital", "river", "town"]
    assert_same(ours(one, targets=words), theirs(one, targets=words))
    assert_same(ours(one, targets="capital", top_k=1), theirs(one, targets="capital", top_k=1))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [["sport", "politics", "cooking"], "animals, money", ["alone"]])
def test_zero_shot_scores_are_the_peers(
    bert_checkpoint: MakeCheckpoint,
    peer_pipeline: PeerPipeline,
    texts: list[str],
    multi_label: bool,
    labels: str | list[str],
) -> None:
    folder = bert_checkpoint("BertForSequenceClassification", id2label=LABELS)
    ours = pipeline("zero-shot-classification", folder)
    theirs = peer_pipeline("zero-shot-classification", folder)
    for own, peer in zip(
        ours(texts, candidate_labels=labels, multi_label=multi_label),
        theirs(texts, candidate_labels=labels, multi_label=multi_label),
        strict=True,
    ):
        assert_same(own, peer)
    template = {"hypothesis_template": "The subject is {}!"}
    assert_same(
        ours(texts[0], candidate_labels=labels, hypothesis_template="The subject is {}!"),
        theirs(texts[0], candidate_labels=labels, **template),
    )
