"""Greedy texts and beams of many architectures equal the peer's, with every kind of cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hf_modeling import AutoModelForCausalLM
from hf_modeling.cache import Replace
from hf_modeling.heads.causal_lm import CausalLM
from integration_tests.families.oracle import Oracle, build_oracle, random_ids
from integration_tests.families.tiny_configs import ROWS, Row

pytestmark = pytest.mark.parity

FAMILIES = (
    "llama",
    "mistral",
    "mixtral",
    "qwen3",
    "gemma2",
    "phi3",
    "gpt2",
    "gpt_neox",
    "olmo2",
    "deepseek_v3",
    "mamba",
    "falcon_h1",
)
FIRST = {row.model_type: row for row in reversed(ROWS) if row.model_type in FAMILIES}
NEW = 14


@pytest.fixture(scope="module", params=sorted(FIRST))
def row(request: pytest.FixtureRequest) -> Row:
    return FIRST[request.param]


@pytest.fixture(scope="module")
def oracle(row: Row, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return build_oracle(row, tmp_path_factory.mktemp(row.name.replace("/", "-")))


@pytest.fixture(scope="module")
def model(oracle: Oracle) -> CausalLM:
    loaded = AutoModelForCausalLM.from_pretrained(oracle.folder)
    assert isinstance(loaded, CausalLM)
    return loaded


def peer_text(oracle: Oracle, ids: torch.Tensor, **options: Any) -> list[list[int]]:
    peer: Any = oracle.model
    text = peer.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW,
        eos_token_id=None,
        pad_token_id=0,
        **options,
    )
    return [[int(token) for token in line] for line in text]


OWN: dict[str, Any] = {"max_new_tokens": NEW, "eos_token_id": None, "pad_token_id": 0}


@pytest.mark.parametrize("cache", ["dynamic", "static", "offloaded", "none"])
def test_greedy(cache: str, oracle: Oracle, model: CausalLM) -> None:
    ids = random_ids(2, 7)
    how: dict[str, Any] = {"use_cache": False} if cache == "none" else {"cache_implementation": cache}
    assert model.generate(ids, **OWN, **how).tolist() == peer_text(oracle, ids)


def test_padded_batches_give_single_texts(model: CausalLM) -> None:
    long, short = random_ids(1, 8, seed=3), random_ids(1, 3, seed=4)
    blank = torch.zeros(1, 5, dtype=torch.long)
    for padded, real in (
        (torch.cat([blank, short], 1), slice(5, 8)),
        (torch.cat([short, blank], 1), slice(0, 3)),
    ):
        mask = torch.ones(2, 8, dtype=torch.long)
        mask[1] = 0
        mask[1, real] = 1
        both = model.generate(torch.cat([long, padded]), attention_mask=mask, **OWN)
        for line, alone in enumerate((long, short)):
            assert both[line, 8:].tolist() == model.generate(alone, **OWN)[0, -NEW:].tolist()


def test_beams(oracle: Oracle, model: CausalLM) -> None:
    ids = random_ids(2, 6, seed=5)
    assert model.generate(ids, num_beams=3, **OWN).tolist() == peer_text(oracle, ids, num_beams=3)


def test_continuous_batching(model: CausalLM) -> None:
    texts = [random_ids(1, n, seed=n)[0].tolist() for n in (9, 1, 4)]
    answers = model.generate_many(texts, **OWN)
    for text, answer in zip(texts, answers, strict=True):
        assert answer.error is None
        alone = model.generate(torch.tensor([text]), **OWN)
        assert list(answer.tokens) == alone[0, len(text) :].tolist()


def test_assisted(model: CausalLM) -> None:
    if any(isinstance(state, Replace) for states in model.new_cache().layout for state in states.values()):
        pytest.skip("recurrent states cannot be taken back")
    ids = torch.cat([random_ids(1, 5, seed=6)] * 3, dim=1)
    drafted = model.generate(ids, prompt_lookup_num_tokens=4, **OWN)
    assert drafted.tolist() == model.generate(ids, **OWN).tolist()
