"""Sixteen threads with different options on one tokenizer: every answer is right."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hf_tokenize import PreTrainedTokenizer

Get = Callable[[str], PreTrainedTokenizer]
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"truncation": True, "max_length": 5},
    {"truncation": True, "max_length": 9, "truncation_side": "left"},
    {"padding": "max_length", "max_length": 24},
    {"padding": "max_length", "max_length": 13, "padding_side": "left", "truncation": True},
    {"add_special_tokens": False},
    {"truncation": True, "max_length": 6, "stride": 1, "return_overflowing_tokens": True},
    {"split_special_tokens": True},
    {"return_offsets_mapping": True},
)


@pytest.mark.parametrize("kind", ["wordpiece", "llama3"])
@pytest.mark.parametrize("calls", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mixed_options_from_sixteen_threads(get: Get, kind: str, calls: int) -> None:
    tokenizer = get(kind)
    draw = random.Random(7)
    vocabulary = ["the", "fox", "jumps", "12", "naïve", "日本", "<|end|>", "[SEP]", "it's", "  ", "\n"]
    texts = [" ".join(draw.choices(vocabulary, k=draw.randrange(1, 14))) for _ in range(60)]
    fresh = {
        (text, at): dict(tokenizer(text, **options)) for text in texts for at, options in enumerate(OPTIONS)
    }

    def work(seed: int) -> int:
        own = random.Random(seed)
        wrong = 0
        for _ in range(calls):
            text, at = own.choice(texts), own.randrange(len(OPTIONS))
            wrong += dict(tokenizer(text, **OPTIONS[at])) != fresh[text, at]
        return wrong

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(16))) == 0


def test_threads_may_start_a_tokenizer_together(folder_of: Callable[[str], object]) -> None:
    from hf_tokenize import AutoTokenizer

    for _ in range(5):
        encode = AutoTokenizer.from_pretrained(str(folder_of("wordpiece"))).encode
        with ThreadPoolExecutor(8) as pool:
            rows = list(pool.map(encode, ["the quick brown fox"] * 32))
        assert all(row == rows[0] for row in rows)
