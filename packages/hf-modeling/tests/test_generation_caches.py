"""Every kind of cache gives the tokens of the growing one, and does what beams and drafts ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hf_modeling.cache import Cache
from hf_modeling.cache.paged import BlockStore, StepRow
from hf_modeling.cache.static import StaticCache
from hf_modeling.cache.stored import offloaded_cache, quantized_cache
from hf_modeling.errors import CacheError
from hf_modeling.generation.errors import OptionError
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.testing.tiny import llama, prompts


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return llama()


MAKE: dict[str, Callable[[CausalLM], Cache]] = {
    "dynamic": lambda m: m.new_cache(),
    "static": lambda m: StaticCache(m.new_cache().layout, batch=2, capacity=40),
    "offloaded": lambda m: offloaded_cache(m.new_cache().layout),
    "quantized": lambda m: quantized_cache(m.new_cache().layout, bits=8, residual=64),
    "quantized blocks": lambda m: quantized_cache(m.new_cache().layout, bits=8, residual=3),
}


def tolerance(kind: str) -> float:
    return 0.15 if kind == "quantized blocks" else 1e-4


@pytest.mark.parametrize("kind", MAKE)
@torch.no_grad()
def test_steps_equal_the_whole_text(kind: str, model: CausalLM) -> None:
    ids, cache = prompts(2, 14), MAKE[kind](model)
    want = model(ids).logits
    parts = [model(ids[:, a:b], past_key_values=cache).logits for a, b in ((0, 5), (5, 6), (6, 10), (10, 14))]
    torch.testing.assert_close(
        torch.cat(parts, dim=1), want, rtol=0, atol=tolerance(kind) * float(want.abs().max())
    )
    assert cache.length == cache.get_seq_length() == 14


@pytest.mark.parametrize("kind", MAKE)
@torch.no_grad()
def test_padding(kind: str, model: CausalLM) -> None:
    ids, mask = prompts(2, 9), torch.ones(2, 9, dtype=torch.long)
    mask[1, :4] = 0
    cache = MAKE[kind](model)
    model(ids, attention_mask=mask, past_key_values=cache)
    got = model(torch.tensor([[7], [8]]), past_key_values=cache).logits[1, -1]
    want = model(torch.cat([ids[1:, 4:], torch.tensor([[8]])], dim=1)).logits[0, -1]
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance(kind) * float(want.abs().max()))


@pytest.mark.parametrize("kind", MAKE)
@torch.no_grad()
def test_crop_reorder_repeat_and_clone(kind: str, model: CausalLM) -> None:
    ids, cache = prompts(2, 12), MAKE[kind](model)
    model(ids, past_key_values=cache)
    before = cache.clone()
    cache.crop(8)
    cache.crop(-1)
    assert cache.length == 7
    cache.reorder(torch.tensor([1, 0]))
    cache.batch_repeat_interleave(2)
    text = torch.cat([ids[[1, 1, 0, 0], :7], prompts(4, 3, seed=3)], dim=1)
    got = model(text[:, 7:], past_key_values=cache).logits
    want = model(text).logits[:, 7:]
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance(kind) * float(want.abs().max()))
    assert before.length == 12
    again = model(prompts(2, 1, seed=4), past_key_values=before).logits[:, -1]
    whole = model(torch.cat([ids, prompts(2, 1, seed=4)], dim=1)).logits[:, -1]
    torch.testing.assert_close(again, whole, rtol=0, atol=tolerance(kind) * float(whole.abs().max()))


@pytest.mark.parametrize("kind", ["static", "offloaded", "quantized", "sliding_window", "hybrid"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}])
def test_generate_with_each_kind(kind: Any, options: dict[str, Any], model: CausalLM) -> None:
    ids = prompts(2, 6)
    config: dict[str, Any] = (
        {"cache_config": {"nbits": 8, "residual_length": 64}} if kind == "quantized" else {}
    )
    got = model.generate(ids, max_new_tokens=10, cache_implementation=kind, **config, **options)
    assert torch.equal(got, model.generate(ids, max_new_tokens=10, **options))


@pytest.mark.parametrize("bits", [2, 4, 8])
@torch.no_grad()
def test_fewer_bits_take_less_memory_and_stay_close(bits: Any, model: CausalLM) -> None:
    plain, few = model.new_cache(), quantized_cache(model.new_cache().layout, bits=bits, residual=8)
    ids = prompts(1, 80)
    model(ids, past_key_values=plain)
    model(ids[:, :40], past_key_values=few)
    model(ids[:, 40:], past_key_values=few)
    exact = 3 * 2 * 2 * 8 * 4 * 80
    assert plain.nbytes() >= exact > few.nbytes()
    key, close = (cache.extend(0, "key", torch.zeros(1, 2, 1, 8)) for cache in (plain, few))
    assert key.shape == close.shape
    step = float(key.max() - key.min()) / (2**bits - 1)
    assert float((key - close).abs().max()) <= step


def test_wrong_settings_are_refused(model: CausalLM) -> None:
    with pytest.raises(CacheError, match="3 bits"):
        quantized_cache(model.new_cache().layout, bits=3)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(OptionError, match="nbits"):
        model.generate(
            prompts(1, 3), cache_implementation="quantized", cache_config={"nbits": 5}, max_new_tokens=2
        )
    with pytest.raises(CacheError, match="at least 1"):
        StaticCache(model.new_cache().layout, batch=0, capacity=4)


def test_a_full_static_cache_says_so(model: CausalLM) -> None:
    cache = StaticCache(model.new_cache().layout, batch=1, capacity=4)
    with torch.no_grad():
        model(prompts(1, 3), past_key_values=cache)
        with pytest.raises(CacheError, match="room for 4 tokens, holds 3, and 2 more"):
            model(prompts(1, 2), past_key_values=cache)
    assert cache.nbytes() == 3 * 2 * 2 * 8 * 4 * 4
    cache.reset()
    assert cache.length == 0


@torch.no_grad()
def test_rows_of_any_lengths_share_a_pool(model: CausalLM) -> None:
    store = BlockStore(model.new_cache().layout, blocks=12, block_size=4)
    texts = [prompts(1, n, seed=n)[0].tolist() for n in (9, 2, 5)]
    tables = [[3, 7, 0], [5, 1], [2, 9]]
    for sequence, (text, table) in enumerate(zip(texts, tables, strict=True)):
        model(
            torch.tensor([text]),
            past_key_values=store.step([StepRow(sequence=sequence, table=table, length=0)], len(text)),
        )
    for _ in range(3):
        rows = [StepRow(sequence=i, table=tables[i], length=len(texts[i])) for i in range(3)]
        new = torch.tensor([[10 + i + len(texts[i])] for i in range(3)])
        got = model(new, past_key_values=store.step(rows, 1)).logits[:, -1]
        for i, text in enumerate(texts):
            text.append(int(new[i]))
            want = model(torch.tensor([text])).logits[0, -1]
            torch.testing.assert_close(got[i], want, rtol=1e-4, atol=1e-4)
    step = store.step([StepRow(sequence=0, table=tables[0], length=4)], 1)
    refused_calls: list[Callable[[], object]] = [
        lambda: step.crop(1),
        lambda: step.clone(),
        lambda: step.reorder(torch.tensor([0])),
    ]
    for refused in refused_calls:
        with pytest.raises(CacheError, match="block tables"):
            refused()
    assert 0 < step.nbytes() < store.nbytes()
