"""The real MiniLM: hidden states and sentence vectors against the peer, over every length it takes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_pipelines import pipeline
from hf_transformers.demo_data import corpus

# torchao, which the peer imports where it is installed, warns of its own age.
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
TOLERANCE = 1e-5


def texts_of_every_length(count: int = 200, longest: int = 510) -> list[str]:
    """Texts of 1 to about `longest` tokens, in no order."""
    words = " ".join(corpus()).lower().replace(".", "").replace(",", "").split()
    common = [word for word in words if word.isalpha() and len(word) <= 5]
    rng = random.Random(5)
    lengths = [1 + round(place * (longest - 1) / (count - 1)) for place in range(count)]
    rng.shuffle(lengths)
    return [" ".join(rng.choices(common, k=length)) for length in lengths]


@pytest.fixture(scope="module")
def oracle(minilm: Path) -> tuple[list[str], list[Tensor]]:
    """Texts that fit, and the peer's hidden states of each, one by one."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.AutoModel.from_pretrained(minilm).eval()
    texts, states = [], []
    with torch.no_grad():
        for text in texts_of_every_length():
            batch = tokenizer(text, truncation=False, padding=False, return_tensors="pt")
            if batch["input_ids"].shape[1] <= 512:
                texts.append(text)
                states.append(model(**batch).last_hidden_state[0])
    return texts, states


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether the tensors agree to 1e-5 of the larger scale of values."""
    return bool((ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max().clamp(min=1.0))


def test_hidden_states_equal_the_oracle_single_and_batched(
    minilm: Path, oracle: tuple[list[str], list[Tensor]]
) -> None:
    texts, states = oracle
    assert len(texts) >= 190
    assert max(len(state) for state in states) >= 500
    pipe = pipeline("feature-extraction", minilm)
    batched = pipe(texts, return_tensors=True)
    for text, ours, theirs in zip(texts, batched, states, strict=True):
        assert ours.shape == (1, *theirs.shape)
        assert close(ours[0], theirs), f"batched differs at {len(theirs)} tokens: {text[:40]!r}"
    for place in range(0, len(texts), 10):
        assert close(pipe(texts[place], return_tensors=True)[0], states[place])
    assert 0 < pipe.stats().padding_ratio < 0.1


def test_nested_lists_equal_the_peers_pipeline(minilm: Path, peer_pipeline: Callable[..., Any]) -> None:
    texts = corpus()[:5]
    theirs = peer_pipeline("feature-extraction", minilm)(texts)
    ours = pipeline("feature-extraction", minilm)(texts)
    assert [[len(rows[0]), len(rows[0][0])] for rows in ours] == [[len(r[0]), len(r[0][0])] for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(torch.tensor(a), torch.tensor(b), atol=TOLERANCE, rtol=0)


def test_embeddings_are_the_mean_of_the_tokens_at_length_one(
    minilm: Path, oracle: tuple[list[str], list[Tensor]]
) -> None:
    texts, states = oracle
    by_hand = torch.stack([torch.nn.functional.normalize(state.mean(0), dim=0) for state in states])
    embed = pipeline("feature-extraction", minilm, pooling="auto", max_length=512)
    torch.testing.assert_close(embed(texts), by_hand, atol=TOLERANCE, rtol=0)
    for place in range(0, len(texts), 10):
        torch.testing.assert_close(embed(texts[place]), by_hand[place], atol=TOLERANCE, rtol=0)


def test_truncation_cuts_where_the_checkpoint_was_made_to_end(minilm: Path) -> None:
    embed = pipeline("feature-extraction", minilm, pooling="auto")
    long = " ".join(corpus())
    torch.testing.assert_close(embed(long, truncation=True), embed(long, truncation=True, max_length=256))
    assert not torch.allclose(embed(long, truncation=True), embed(long, truncation=True, max_length=512))
