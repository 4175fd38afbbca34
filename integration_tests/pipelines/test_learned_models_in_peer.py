"""Models that learned their task, saved by our pipelines and run by the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hf_pipelines import pipeline
from integration_tests.pipelines import zoo

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]
STRATEGIES = ("simple", "first", "average", "max")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_are_the_peers_by_every_strategy(
    tagger: Path, peer_pipeline: Callable[..., Any], strategy: Any
) -> None:
    texts = [text for text, _ in zoo.take(zoo.people(3), 12)]
    ours = pipeline("ner", tagger, aggregation_strategy=strategy)(texts)
    for text, groups in zip(texts, ours, strict=True):
        expected = peer_pipeline("ner", tagger, aggregation_strategy=strategy)(text)
        places = [(group["entity_group"], group["start"], group["end"]) for group in expected]
        assert [(group["entity_group"], group["start"], group["end"]) for group in groups] == places
        scores = [float(group["score"]) for group in expected]
        assert [group["score"] for group in groups] == pytest.approx(scores, abs=1e-5)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger")
    words = zoo.tokenizer(folder)
    pipeline("ner", zoo.entities(words, folder), tokenizer=words).save_pretrained(folder / "saved")
    return folder / "saved"


def test_summaries_are_what_the_peer_generates(tmp_path: Path) -> None:
    peer = pytest.importorskip("transformers")
    words = zoo.tokenizer(tmp_path)
    pipe = pipeline("summarization", zoo.summaries(words, tmp_path, steps=60), tokenizer=words)
    pipe.model.save_pretrained(tmp_path / "saved")
    model = peer.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved").eval()
    texts = [text for text, _ in zoo.take(zoo.reports(3), 8)]
    for beams in (1, 4):
        found = pipe(texts, num_beams=beams, max_new_tokens=10)
        for text, record in zip(texts, found, strict=True):
            ids = torch.tensor([words.encode(text)])
            tokens = model.generate(ids, num_beams=beams, max_new_tokens=10, do_sample=False)[0].tolist()
            assert record["summary_text"] == words.decode(tokens, skip_special_tokens=True)
