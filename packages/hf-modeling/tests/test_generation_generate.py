"""`generate` as a whole: where it ends, what it refuses, batches, threads, streams, caches."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_config import GenerationConfig
from hf_config.errors import ConfigError
from hf_config.generation import CompileConfig
from hf_modeling.generation import FinishReason, MaxLengthCriteria
from hf_modeling.generation.errors import (
    CacheMismatchError,
    ContradictionError,
    DetokenizerNeededError,
    DeviceMismatchError,
    GenerationError,
    MissingTokenError,
    OptionError,
    PromptError,
    PromptTooLongError,
    UnknownOptionError,
)
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.models import LlamaForCausalLM
from hf_modeling.testing.tiny import BOS, EOS, VOCABULARY, llama, prompts


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return llama()


class Letters:
    """Id i is the letter i mod 26; ids below 4 are silent."""

    def get_vocab(self) -> dict[str, int]:
        return {f"{chr(97 + i % 26)}{i}": i for i in range(VOCABULARY)}

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [ord(letter) - 97 + 26 for letter in text]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(chr(97 + i % 26) for i in token_ids if i >= 4)


# Where it ends


def test_without_a_length_it_runs_to_the_end_token_or_the_context(model: CausalLM) -> None:
    output = model.generate(prompts(5, 4), return_dict_in_generate=True)
    for text, reason in zip(output.sequences.tolist(), output.finish_reasons, strict=True):
        assert (EOS in text) == (reason is FinishReason.STOP)
        assert EOS in text or len(text) == 96
    endless = model.generate(prompts(1, 4), eos_token_id=None, return_dict_in_generate=True)
    assert endless.sequences.shape[1] == 96
    assert endless.finish_reasons == (FinishReason.LENGTH,)


def test_lengths(model: CausalLM) -> None:
    ids = prompts(1, 5)
    assert model.generate(ids, max_new_tokens=7, eos_token_id=None).shape[1] == 12
    assert model.generate(ids, max_length=9, eos_token_id=None).shape[1] == 9
    assert model.generate(ids, max_length=9, max_new_tokens=2, eos_token_id=None).shape[1] == 7
    assert model.generate(ids, GenerationConfig(max_new_tokens=3), eos_token_id=None).shape[1] == 8


def test_no_prompt_starts_with_the_first_token(model: CausalLM) -> None:
    assert model.generate(max_new_tokens=3)[0, 0] == BOS
    assert torch.equal(
        model.generate(max_new_tokens=3), model.generate(torch.tensor([[BOS]]), max_new_tokens=3)
    )


def test_stop_strings_and_criteria(model: CausalLM) -> None:
    ids = prompts(1, 4)
    text = Letters().decode(model.generate(ids, max_new_tokens=12, eos_token_id=None)[0, 4:].tolist())
    output = model.generate(
        ids,
        max_new_tokens=12,
        eos_token_id=None,
        stop_strings=text[3:6],
        tokenizer=Letters(),
        return_dict_in_generate=True,
    )
    stopped = Letters().decode(output.sequences[0, 4:].tolist())
    assert stopped.endswith(text[3:6])
    assert text.startswith(stopped)
    assert output.finish_reasons == (FinishReason.STOP_STRING,)
    custom = model.generate(
        ids,
        stopping_criteria=[lambda tokens, scores: tokens[:, -1] >= 0],
        return_dict_in_generate=True,
    )
    assert custom.sequences.shape[1] == 5
    assert custom.finish_reasons == (FinishReason.CRITERIA,)
    timed = model.generate(ids, max_time=1e-9, eos_token_id=None, return_dict_in_generate=True)
    assert timed.finish_reasons == (FinishReason.TIME,)
    bounded = model.generate(ids, stopping_criteria=[MaxLengthCriteria(8)], eos_token_id=None)
    assert bounded.shape[1] == 8


# What it refuses


@pytest.mark.parametrize(
    ("ids", "options", "error", "text"),
    [
        (torch.empty(1, 0, dtype=torch.long), {}, PromptError, "the prompt is empty"),
        (torch.tensor([4, 5]), {}, PromptError, "expected integers"),
        (torch.tensor([[4.0]]), {}, PromptError, "expected integers"),
        (torch.tensor([[4, VOCABULARY]]), {}, PromptError, "row 0, position 1 is outside"),
        (torch.tensor([[4, -1]]), {}, PromptError, "token id -1"),
        (torch.zeros(1, 3, dtype=torch.long), {}, PromptError, "padding only"),
        (prompts(1, 96), {}, PromptTooLongError, "96 tokens"),
        (prompts(1, 8), {"max_length": 8}, PromptTooLongError, "max_length"),
        (prompts(1, 4), {"attention_mask": torch.zeros(1, 3)}, PromptError, "attention_mask has shape"),
        (prompts(1, 4), {"max_new_token": 3}, UnknownOptionError, "did you mean 'max_new_tokens'"),
        (prompts(1, 4), {"max_new_tokens": 0}, ConfigError, "max_new_tokens"),
        (prompts(1, 4), {"top_p": 1.5, "do_sample": True}, ConfigError, "top_p"),
        (prompts(1, 4), {"temperature": 0.0, "do_sample": True}, OptionError, "temperature"),
        (prompts(1, 4), {"num_return_sequences": 3}, ConfigError, "num_return_sequences"),
        (prompts(1, 4), {"stop_strings": "a"}, DetokenizerNeededError, "stop_strings"),
        (prompts(1, 4), {"stop_strings": "", "tokenizer": Letters()}, OptionError, "stop_strings"),
        (prompts(1, 4), {"bad_words_ids": [[]]}, GenerationError, "bad_words_ids"),
        (prompts(1, 4), {"sequence_bias": {(VOCABULARY,): 1.0}}, OptionError, "sequence_bias"),
        (prompts(2, 4), {"seed": [1, 2, 3], "do_sample": True}, OptionError, "seed"),
        (prompts(1, 4), {"cache_implementation": "paged"}, GenerationError, "cache_implementation"),
        (prompts(1, 4), {"num_beams": 2, "streamer": object()}, ContradictionError, "streaming"),
    ],
)
def test_bad_input_is_refused(
    ids: Tensor, options: dict[str, Any], error: type[Exception], text: str, model: CausalLM
) -> None:
    with pytest.raises(error, match=text):
        model.generate(ids, **options)


def test_no_end_and_no_context_needs_a_length() -> None:
    endless = llama(max_position_embeddings=32, eos_token_id=None)
    assert endless.generate(prompts(1, 4)).shape[1] == 32


def test_nothing_to_fill_with() -> None:
    bare = llama(pad_token_id=None, eos_token_id=None)
    with pytest.raises(MissingTokenError, match="pad_token_id"):
        bare.generate(prompts(2, 4), stop_strings="a", tokenizer=Letters(), max_new_tokens=4)


def test_a_cache_of_another_model(model: CausalLM) -> None:
    with pytest.raises(CacheMismatchError, match="layout"):
        model.generate(prompts(1, 4), past_key_values=llama(num_hidden_layers=2).new_cache())
    full = model.new_cache()
    model(prompts(1, 6), past_key_values=full)
    with pytest.raises(CacheMismatchError, match="number of tokens is 6"):
        model.generate(prompts(1, 6), past_key_values=full)


def test_devices_have_to_agree(model: CausalLM) -> None:
    with pytest.raises(DeviceMismatchError, match="meta"):
        model.generate(prompts(1, 4).to("meta"))


# Batches


def batch() -> tuple[Tensor, Tensor, list[Tensor]]:
    singles = [prompts(1, length, seed=length) for length in (9, 3, 6, 1)]
    ids, mask = torch.zeros(4, 9, dtype=torch.long), torch.zeros(4, 9, dtype=torch.long)
    for row, single in enumerate(singles):
        ids[row, 9 - single.shape[1] :] = single[0]
        mask[row, 9 - single.shape[1] :] = 1
    return ids, mask, singles


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cache", ["dynamic", "static", None])
@pytest.mark.parametrize("options", [{}, {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3}])
def test_a_batch_gives_what_single_prompts_give(
    side: str, cache: Any, options: dict[str, Any], model: CausalLM
) -> None:
    ids, mask, singles = batch()
    if side == "right":
        order = mask.argsort(dim=1, descending=True, stable=True)
        ids, mask = ids.gather(1, order), mask.gather(1, order)
    how: dict[str, Any] = {"cache_implementation": cache} if cache else {"use_cache": False}
    together = model.generate(
        ids, attention_mask=mask, max_new_tokens=12, eos_token_id=None, **options, **how
    )
    for row, single in enumerate(singles):
        alone = model.generate(single, max_new_tokens=12, eos_token_id=None, **options)
        assert together[row, -12:].tolist() == alone[0, -12:].tolist()
    assert torch.equal(together[:, :9], ids)


def test_deterministic_is_the_same_to_the_last_bit(model: CausalLM) -> None:
    ids, mask, singles = batch()
    options: dict[str, Any] = {
        "max_new_tokens": 6,
        "eos_token_id": None,
        "output_scores": True,
        "return_dict_in_generate": True,
        "deterministic": True,
    }
    together = model.generate(ids, attention_mask=mask, **options)
    assert together.scores is not None
    for row, single in enumerate(singles):
        alone = model.generate(single, **options)
        assert alone.scores is not None
        for a, b in zip(together.scores, alone.scores, strict=True):
            assert torch.equal(a[row], b[0])


def test_several_answers_share_the_prompt(model: CausalLM) -> None:
    ids, mask, _ = batch()
    options: dict[str, Any] = {"do_sample": True, "max_new_tokens": 8, "seed": list(range(12))}
    three = model.generate(ids, attention_mask=mask, num_return_sequences=3, **options)
    repeated = model.generate(
        ids.repeat_interleave(3, dim=0), attention_mask=mask.repeat_interleave(3, dim=0), **options
    )
    assert torch.equal(three, repeated)
    assert len({tuple(row) for row in three[:3].tolist()}) == 3


def test_seeds_belong_to_sequences(model: CausalLM) -> None:
    ids = prompts(3, 5)
    together = model.generate(ids, do_sample=True, seed=[7, 8, 9], max_new_tokens=9, eos_token_id=None)
    alone = model.generate(ids[1:2], do_sample=True, seed=[8], max_new_tokens=9, eos_token_id=None)
    assert together[1].tolist() == alone[0].tolist()
    counted = model.generate(ids, do_sample=True, seed=7, max_new_tokens=9, eos_token_id=None)
    assert torch.equal(together, counted)


# Continuing, embeddings, streaming, threads


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_given_cache_is_continued(kind: str, model: CausalLM) -> None:
    ids = prompts(2, 9)
    want = model.generate(ids, max_new_tokens=8)
    first = model.generate(
        ids[:, :6],
        max_new_tokens=1,
        eos_token_id=None,
        return_dict_in_generate=True,
        cache_implementation=None,
    )
    assert first.past_key_values is not None
    assert torch.equal(model.generate(ids, max_new_tokens=8, past_key_values=first.past_key_values), want)


def test_embeddings_stand_for_ids(model: CausalLM) -> None:
    ids, mask, _ = batch()
    embeds = model.get_input_embeddings()(ids).detach()
    want = model.generate(ids, attention_mask=mask, max_new_tokens=7)
    got = model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=7)
    assert torch.equal(got, want[:, 9:])
    assert model.generate(inputs_embeds=embeds[:1], max_length=12, eos_token_id=None).shape[1] == 3


def test_streaming_a_batch(model: CausalLM) -> None:
    ids, mask, _ = batch()
    want = model.generate(ids, attention_mask=mask, max_new_tokens=9, return_dict_in_generate=True)
    rows: list[list[int]] = [[] for _ in range(4)]
    texts = [""] * 4
    reasons: dict[int, FinishReason] = {}
    for event in model.stream(ids, attention_mask=mask, max_new_tokens=9, tokenizer=Letters()):
        assert not torch.is_inference_mode_enabled()
        rows[event.sequence].append(event.token)
        texts[event.sequence] += event.text
        if event.finish_reason is not None:
            reasons[event.sequence] = event.finish_reason
    for row, tokens in enumerate(rows):
        assert tokens == want.sequences[row, 9 : 9 + len(tokens)].tolist()
        assert texts[row] == Letters().decode(tokens)
    assert tuple(reasons[row] for row in range(4)) == want.finish_reasons


def test_streaming_in_an_event_loop(model: CausalLM) -> None:
    async def collect() -> list[int]:
        return [e.token async for e in model.astream(prompts(1, 4), max_new_tokens=6, eos_token_id=None)]

    assert (
        asyncio.run(collect())
        == model.generate(prompts(1, 4), max_new_tokens=6, eos_token_id=None)[0, 4:].tolist()
    )


def test_a_stream_refuses_before_it_starts(model: CausalLM) -> None:
    with pytest.raises(PromptError):
        model.stream(torch.empty(1, 0, dtype=torch.long))
    with pytest.raises(ContradictionError, match="streaming"):
        model.stream(prompts(1, 3), num_beams=2, max_new_tokens=3)


class Collecting:
    def __init__(self) -> None:
        self.values: list[list[Any]] = []
        self.ended = 0

    def put(self, value: Tensor) -> None:
        self.values.append(value.tolist())

    def end(self) -> None:
        self.ended += 1


def test_streamers_get_the_prompt_and_every_token(model: CausalLM) -> None:
    streamer, ids = Collecting(), prompts(2, 3)
    text = model.generate(ids, max_new_tokens=5, eos_token_id=None, streamer=streamer)
    assert streamer.values[0] == ids.tolist()
    assert torch.tensor(streamer.values[1:]).T.tolist() == text[:, 3:].tolist()
    assert streamer.ended == 1


def test_a_failing_run_ends_its_streamer(model: CausalLM) -> None:
    streamer = Collecting()

    def broken(ids: Tensor, scores: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.generate(prompts(1, 3), max_new_tokens=5, streamer=streamer, logits_processor=[broken])
    assert streamer.ended == 1


def test_threads_give_the_sequential_answer(model: CausalLM) -> None:
    asked: list[tuple[Tensor, dict[str, Any]]] = [
        (prompts(2, 5, seed), {"do_sample": bool(seed % 2), "seed": seed, "max_new_tokens": 12})
        for seed in range(8)
    ]
    want = [model.generate(ids, **options) for ids, options in asked]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda one: model.generate(one[0], **one[1]), asked))
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_answers_can_be_trained_on(model: CausalLM) -> None:
    output = model.generate(
        prompts(1, 3), max_new_tokens=4, output_scores=True, output_logits=True, return_dict_in_generate=True
    )
    loss = model(output.sequences, labels=output.sequences).loss
    loss.backward()
    assert output.scores is not None
    assert not any(tensor.is_inference() for tensor in (output.sequences, *output.scores))


def test_gradients_are_neither_needed_nor_kept(model: CausalLM) -> None:
    assert torch.is_grad_enabled()
    model.generate(prompts(1, 3), max_new_tokens=2)
    assert torch.is_grad_enabled()


def test_options_of_the_checkpoint(model: CausalLM, tmp_path: Path) -> None:
    own = llama()
    own.generation_config = GenerationConfig(max_new_tokens=3, eos_token_id=None, pad_token_id=0)
    own.save_pretrained(tmp_path)
    loaded = LlamaForCausalLM.from_pretrained(tmp_path)
    assert loaded.generate(prompts(1, 4)).shape[1] == 7
    assert loaded.generate(prompts(1, 4), max_new_tokens=5).shape[1] == 9


def test_custom_processors_replace_their_kind(model: CausalLM) -> None:
    ids = prompts(1, 4)

    def only_nine(tokens: Tensor, scores: Tensor) -> Tensor:
        return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([9]), 0.0)

    assert model.generate(ids, max_new_tokens=3, logits_processor=[only_nine])[0, 4:].tolist() == [9, 9, 9]


def test_frequency_and_presence_penalties_make_texts_vary(model: CausalLM) -> None:
    plain = model.generate(prompts(1, 4), max_new_tokens=30, eos_token_id=None)[0, 4:]
    penalties: list[dict[str, Any]] = [{"frequency_penalty": 100.0}, {"presence_penalty": 100.0}]
    for penalty in penalties:
        varied = model.generate(prompts(1, 4), max_new_tokens=30, eos_token_id=None, **penalty)[0, 4:]
        assert len(varied.unique()) == 30 > len(plain.unique())


class Pieces(Letters):
    """Tokens 30 to 39 are "a", "ab", "abc" and so on; the others begin otherwise."""

    def get_vocab(self) -> dict[str, int]:
        return {"abcdefghij"[: i - 29] if 30 <= i < 40 else f"z{i}": i for i in range(VOCABULARY)}


@pytest.mark.parametrize("side", ["none", "left", "right"])
def test_a_healed_prompt_ends_in_the_models_own_choice(side: str, model: CausalLM) -> None:
    ids = torch.tensor([[9, 10, 11, 33], [12, 13, 30, 9]])
    mask = torch.ones_like(ids)
    if side != "none":
        ids = torch.nn.functional.pad(ids, (2, 0) if side == "left" else (0, 2))
        mask = torch.nn.functional.pad(mask, (2, 0) if side == "left" else (0, 2))
    healed = model.generate(
        ids, attention_mask=mask, token_healing=True, tokenizer=Pieces(), max_new_tokens=4, eos_token_id=None
    )
    with torch.no_grad():
        logits = model(torch.tensor([[9, 10, 11]])).logits[0, -1]
    logits[33] += 1.0
    want = 33 + int(logits[33:40].argmax())
    last = 3 + 2 * (side == "left")
    assert healed[0, last] == want
    assert torch.equal(healed[1, : ids.shape[1]], ids[1]), "no other token begins as this one does"
    direct = model.generate(torch.tensor([[9, 10, 11, want]]), max_new_tokens=4, eos_token_id=None)
    assert healed[0, -4:].tolist() == direct[0, -4:].tolist()


def test_healing_needs_a_tokenizer(model: CausalLM) -> None:
    with pytest.raises(DetokenizerNeededError, match="token_healing"):
        model.generate(prompts(1, 4), token_healing=True, max_new_tokens=2)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_compiled_step_gives_the_same_tokens_and_is_made_once(backend: str) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    own, ids = llama(), prompts(2, 5)
    options: dict[str, Any] = {
        "compile_config": CompileConfig(backend=backend, fullgraph=True),
        "eos_token_id": None,
    }
    for new in (6, 30):
        assert torch.equal(
            own.generate(ids, max_new_tokens=new, **options),
            own.generate(ids, max_new_tokens=new, eos_token_id=None),
        )
    made = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    own.generate(ids, max_new_tokens=60, **options)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == made, "length recompiles nothing"
    assert copy.deepcopy(own).generate(ids, max_new_tokens=3).shape[1] == 8
    with ThreadPoolExecutor(2) as pool:  # each has a cache to itself
        twice = list(pool.map(lambda _: own.generate(ids, max_new_tokens=9, **options), range(2)))
    assert torch.equal(*twice)
    beams = own.generate(ids, max_new_tokens=6, num_beams=2, **options)
    assert torch.equal(beams, own.generate(ids, max_new_tokens=6, num_beams=2, eos_token_id=None))


@pytest.mark.parametrize(
    "options",
    [
        {"cache_implementation": "quantized"},
        {"output_attentions": True, "return_dict_in_generate": True},
        {"use_cache": False},
    ],
)
def test_what_a_compiled_step_cannot_do(options: dict[str, Any], model: CausalLM) -> None:
    with pytest.raises(ContradictionError, match="compile"):
        model.generate(prompts(1, 4), compile=True, max_new_tokens=2, **options)
