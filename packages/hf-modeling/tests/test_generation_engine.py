"""Continuous batching: every request gets the answer it would get alone, whatever happens around it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from torch import Tensor

from hf_config.errors import ConfigError
from hf_modeling.generation import FinishReason
from hf_modeling.generation.errors import GenerationError, OptionError, OutOfCacheError, PromptError
from hf_modeling.generation.serving import AsyncEngine, Engine, Limits, Request, TokenEvent, generate_many
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.testing.tiny import EOS, VOCABULARY, llama, prompts

MODEL = llama()
SMALL = Limits(max_tokens=8, max_requests=4)


def engine(blocks: int = 24, limits: Limits = SMALL, **options: Any) -> Engine:
    layers, heads, features, itemsize, size = 3, 2, 8, 4, 4
    memory = blocks * layers * 2 * heads * features * itemsize * size
    made = Engine(MODEL, memory=memory, block_size=size, limits=limits, **options)
    assert made.scheduler.blocks.blocks == blocks
    return made


def alone(prompt: list[int], new: int, **options: Any) -> list[int]:
    text: Tensor = MODEL.generate(torch.tensor([prompt]), max_new_tokens=new, **options)
    return [int(token) for token in text[0, len(prompt) :]]


def until_eos(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(EOS) + 1] if EOS in tokens else tokens


def texts(count: int, seed: int = 0) -> list[list[int]]:
    return [prompts(1, 1 + (7 * i) % 11, seed + i)[0].tolist() for i in range(count)]


def test_many_mixed_requests_equal_single_ones() -> None:
    asked = [Request(prompt=p, options={"max_new_tokens": 3 + (i * 5) % 17}) for i, p in enumerate(texts(12))]
    for request, answer in zip(asked, generate_many(MODEL, asked, limits=SMALL), strict=True):
        want = until_eos(alone(list(request.prompt), request.options["max_new_tokens"] or 0))
        assert list(answer.tokens) == want
        assert answer.finish_reason is (FinishReason.STOP if want[-1] == EOS else FinishReason.LENGTH)


def test_options_are_each_requests_own() -> None:
    prompt = texts(1)[0]
    variants: list[dict[str, Any]] = [
        {},
        {"repetition_penalty": 1.5},
        {"no_repeat_ngram_size": 2},
        {"suppress_tokens": list(range(20, 40))},
        {"min_new_tokens": 9, "eos_token_id": list(range(2, 50))},
    ]
    asked = [Request(prompt=prompt, options={"max_new_tokens": 12, **v}) for v in variants]  # type: ignore[typeddict-item]
    for variant, answer in zip(variants, generate_many(MODEL, asked), strict=True):
        ends = variant.get("eos_token_id", [EOS])
        want = alone(prompt, 12, **variant)
        stop = next((i + 1 for i, token in enumerate(want) if token in ends), len(want))
        assert list(answer.tokens) == want[:stop]


@pytest.mark.parametrize("options", [{"top_k": 5, "temperature": 1.3}, {"repetition_penalty": 1.2}])
def test_seeded_requests_do_not_depend_on_their_neighbours(options: dict[str, Any]) -> None:
    asked = [
        Request(prompt=p, options={"do_sample": True, "max_new_tokens": 10, **options}, seed=i)  # type: ignore[typeddict-item]
        for i, p in enumerate(texts(6))
    ]
    together = generate_many(MODEL, asked)
    for i, (request, answer) in enumerate(zip(asked, together, strict=True)):
        assert generate_many(MODEL, [request])[0].tokens == answer.tokens
        want = until_eos(alone(list(request.prompt), 10, do_sample=True, seed=i, **options))
        assert list(answer.tokens) == want


def test_a_shared_prefix_is_computed_once() -> None:
    made = engine()
    prefix = prompts(1, 13)[0].tolist()
    first = made.add(Request(prompt=prefix, options={"max_new_tokens": 2}))
    assert [e.request for e in made.run()] == [first, first]
    made.add(Request(prompt=[*prefix[:12], 9, 9], options={"max_new_tokens": 3}))
    plan = made.scheduler.plan()
    assert [(c.start, c.stop) for c in plan.chunks] == [(12, 14)]


def test_a_reused_prefix_changes_no_token() -> None:
    made = engine(blocks=40)
    shared = prompts(1, 12, seed=5)[0].tolist()
    for tail in ([7], [8, 9], [7, 10]):
        number = made.add(Request(prompt=[*shared, *tail], options={"max_new_tokens": 8}))
        got = [e.token for e in made.run() if e.request == number]
        assert got == until_eos(alone([*shared, *tail], 8))


def test_a_fork_goes_on_alike_and_apart() -> None:
    made = engine()
    options: Any = {"max_new_tokens": 14, "eos_token_id": None}
    first = made.add(Request(prompt=texts(3)[2], options=options))
    for _ in range(5):
        made.step()
    second = made.fork(first)
    tokens: dict[int, list[int | None]] = {first: [], second: []}
    for event in made.run():
        tokens[event.request].append(event.token)
    assert tokens[first] == tokens[second]
    assert made.blocks_in_use == 0


def test_memory_that_is_too_small_for_all_makes_them_wait() -> None:
    asked = [Request(prompt=p, options={"max_new_tokens": 12, "eos_token_id": None}) for p in texts(9)]
    made = engine(blocks=7)
    numbers = [made.add(request) for request in asked]
    tokens: dict[int, list[int | None]] = {number: [] for number in numbers}
    for event in made.run():
        tokens[event.request].append(event.token)
    for number, request in zip(numbers, asked, strict=True):
        assert tokens[number] == alone(list(request.prompt), 12, eos_token_id=None)
    assert made.blocks_in_use == 0


def failing(after: int) -> Any:
    def processor(ids: Tensor, scores: Tensor) -> Tensor:
        if ids.shape[1] > after:
            raise ZeroDivisionError("mine alone")
        return scores

    return processor


def test_a_failing_request_harms_nobody() -> None:
    good = texts(4)
    asked = [Request(prompt=p, options={"max_new_tokens": 9}) for p in good]
    asked.insert(2, Request(prompt=[5, 6], options={"max_new_tokens": 9}, logits_processor=[failing(4)]))
    asked.insert(4, Request(prompt=[], options={"max_new_tokens": 9}))
    asked.insert(5, Request(prompt=[5], options={"max_new_tokens": 9, "top_p": 7.0}))
    answers = generate_many(MODEL, asked)
    assert isinstance(answers[2].error, ZeroDivisionError)
    assert len(answers[2].tokens) == 3
    assert isinstance(answers[4].error, PromptError)
    assert isinstance(answers[5].error, ConfigError)
    rest = [answer for answer in answers if answer.error is None]
    assert [list(answer.tokens) for answer in rest] == [until_eos(alone(p, 9)) for p in good]


class Fragile:
    """The model, which fails whenever a certain token is among its input."""

    def __init__(self, poison: int) -> None:
        self.poison = poison

    def __getattr__(self, name: str) -> object:
        return getattr(MODEL, name)

    def __call__(self, input_ids: Tensor, **arguments: Any) -> Any:
        if bool((input_ids == self.poison).any()):
            raise RuntimeError("poisoned")
        return MODEL(input_ids, **arguments)


def test_a_model_that_fails_for_one_request_serves_the_others() -> None:
    asked = [
        Request(prompt=[i + 5], options={"max_new_tokens": 6, "suppress_tokens": [33]}) for i in range(4)
    ]
    asked[2] = Request(prompt=[33], options={"max_new_tokens": 6})
    answers = generate_many(Fragile(33), asked)  # type: ignore[arg-type]  # a stand-in
    assert [answer.error is not None for answer in answers] == [False, False, True, False]
    assert list(answers[0].tokens) == until_eos(alone([5], 6, suppress_tokens=[33]))


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Request(prompt=[]), PromptError),
        (Request(prompt=[VOCABULARY]), PromptError),
        (Request(prompt=[4], options={"num_beams": 3}), OptionError),
        (Request(prompt=[4] * 60, options={"max_new_tokens": 60}), OutOfCacheError),
        (Request(prompt=[4], options={"stop_strings": "x"}), GenerationError),
    ],
)
def test_bad_requests_are_refused_when_added(request_: Request, error: type[Exception]) -> None:
    made = engine()
    with pytest.raises(error):
        made.add(request_)
    assert not made.has_work
    assert made.blocks_in_use == 0


class Machine(RuleBasedStateMachine):
    """Requests are added, stepped, cancelled and forked in any order; each one's text is what it would be alone."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine(blocks=12)
        self.want: dict[int, list[int]] = {}
        self.got: dict[int, list[int]] = {}

    @rule(target=requests, length=st.integers(1, 9), seed=st.integers(0, 3), new=st.integers(1, 12))
    def add(self, length: int, seed: int, new: int) -> int:
        prompt = prompts(1, length, seed)[0].tolist()
        number = self.engine.add(Request(prompt=prompt, options={"max_new_tokens": new}))
        self.want[number], self.got[number] = until_eos(alone(prompt, new)), []
        return number

    @rule(request=consumes(requests))
    def cancel(self, request: int) -> None:
        assert self.engine.cancel(request) == (request in self.want)
        self.want.pop(request, None)
        assert not self.engine.cancel(request)

    @rule(target=requests, request=requests)
    def fork(self, request: int) -> int:
        if request not in self.want:
            return request
        child = self.engine.fork(request)
        self.want[child], self.got[child] = self.want[request], list(self.got[request])
        return child

    @rule()
    def step(self) -> None:
        self.note(self.engine.step())

    def note(self, events: list[TokenEvent]) -> None:
        for event in events:
            assert event.error is None
            assert event.token is not None
            self.got[event.request].append(event.token)
            want = self.want[event.request]
            assert self.got[event.request] == want[: len(self.got[event.request])]
            if event.finish_reason is not None:
                assert self.got[event.request] == want
                del self.want[event.request]

    @invariant()
    def work_is_what_has_not_ended(self) -> None:
        assert self.engine.has_work == bool(self.want)

    def teardown(self) -> None:
        for _ in range(500):
            if not self.engine.has_work:
                break
            self.note(self.engine.step())
        assert not self.want
        assert self.engine.blocks_in_use == 0


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


@pytest.fixture
def background() -> Iterator[AsyncEngine]:
    made = AsyncEngine(engine())
    yield made
    made.close()


def test_streaming_to_many_tasks(background: AsyncEngine) -> None:
    async def one(prompt: list[int]) -> list[int | None]:
        request = Request(prompt=prompt, options={"max_new_tokens": 8})
        return [event.token async for event in background.stream(request)]

    async def all_of_them() -> list[list[int | None]]:
        return await asyncio.gather(*[one(prompt) for prompt in texts(7)])

    assert asyncio.run(all_of_them()) == [until_eos(alone(prompt, 8)) for prompt in texts(7)]


def test_whoever_leaves_frees_the_memory(background: AsyncEngine) -> None:
    async def leave() -> None:
        request = Request(prompt=[5, 6, 7], options={"max_new_tokens": 60, "eos_token_id": None})
        events = background.stream(request)
        async for _ in events:
            break
        await events.aclose()  # type: ignore[attr-defined]  # it is an async generator

    asyncio.run(leave())
    assert background._engine.blocks_in_use == 0
    assert not background._engine.has_work


def test_cancelling_from_another_thread(background: AsyncEngine) -> None:
    heard: list[TokenEvent] = []
    number = background.submit(
        Request(prompt=[5, 6], options={"max_new_tokens": 60, "eos_token_id": None}), heard.append
    )
    Thread(target=background.cancel, args=(number,)).start()
    while not heard or heard[-1].finish_reason is None:
        pass
    assert heard[-1].finish_reason in (FinishReason.CANCELLED, FinishReason.LENGTH)
    assert not background.cancel(number)


def test_a_listener_that_fails_does_not_stop_the_engine(background: AsyncEngine) -> None:
    def gone(event: TokenEvent) -> None:
        raise ConnectionError("the client left")

    background.submit(Request(prompt=[5], options={"max_new_tokens": 50, "eos_token_id": None}), gone)

    async def other() -> int:
        return len([e async for e in background.stream(Request(prompt=[6], options={"max_new_tokens": 4}))])

    assert asyncio.run(other()) >= 1


def test_refusals_reach_whoever_asked(background: AsyncEngine) -> None:
    async def ask() -> None:
        async for _ in background.stream(Request(prompt=[])):
            pass

    with pytest.raises(PromptError):
        asyncio.run(ask())


def test_closing_cancels_and_is_final() -> None:
    made, heard = AsyncEngine(engine()), list[TokenEvent]()
    made.submit(Request(prompt=[5], options={"max_new_tokens": 80, "eos_token_id": None}), heard.append)
    made.close()
    made.close()
    assert heard[-1].finish_reason is FinishReason.CANCELLED
    with pytest.raises(GenerationError, match="closed"):
        made.submit(Request(prompt=[5]), heard.append)


def test_recurrent_and_windowed_layouts_are_counted(tmp_path: object) -> None:
    made: CausalLM = MODEL
    assert Engine(made, memory=1 << 20).nbytes() <= 1 << 20
    with pytest.raises(OptionError, match="memory"):
        Engine(made, memory=10)
