from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_pipelines.runner import FailedItem, Runner
from hf_pipelines.stats import Meter, RunStats
from hf_pipelines.task import Limits
from hf_pipelines.testing import EchoTask

SMALL = Limits(tokens=64, rows=8, lookahead=32, overhead=4)


def runner(task: EchoTask, limits: Limits = SMALL, meter: Meter | None = None) -> Runner[str, str, str, str]:
    return Runner(task, limits, meter or Meter())


@given(st.lists(st.text("abcdefgh", max_size=80), max_size=80), st.integers(1, 30))
def test_order_and_content_are_kept_for_any_lengths_and_chunks(texts: list[str], width: int) -> None:
    assert list(runner(EchoTask(width=width)).stream(texts)) == [text.upper() for text in texts]


def test_one_input_gives_its_record_even_without_chunks() -> None:
    assert runner(EchoTask()).one("abc") == "ABC"
    assert runner(EchoTask()).one("") == ""


def test_rows_of_like_length_share_a_pass() -> None:
    passes: list[list[str]] = []
    task = EchoTask(passes=passes)
    texts = ["a" * 30, "b", "c" * 31, "d", "e" * 29, "f"]
    assert list(runner(task).stream(texts)) == [text.upper() for text in texts]
    assert [sorted(map(len, chunks)) for chunks in passes] == [[30, 31], [1, 1, 1], [29]]


def test_chunks_of_one_input_may_run_in_several_passes() -> None:
    passes: list[list[str]] = []
    task = EchoTask(width=10, passes=passes)
    long = "abcdefghij" * 20
    assert runner(task).one(long) == long.upper()
    assert len(passes) == 4


def test_a_generator_of_100_000_inputs_is_read_only_a_window_ahead() -> None:
    taken = 0

    def source() -> Iterator[str]:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield f"{number}" + "x" * 200

    limits = Limits(tokens=4_000, rows=16, lookahead=64, overhead=40)
    tracemalloc.start()
    given_out = 0
    for result in runner(EchoTask(passes=None), limits).stream(source()):
        assert isinstance(result, str)
        assert result.startswith(f"{given_out}X")
        given_out += 1
        assert taken - given_out <= 64
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert given_out == 100_000
    assert peak < 2_000_000, f"{peak} bytes held, the inputs together are 20 MB"


def test_results_stream_before_the_source_ends() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "again"

    stream = runner(EchoTask()).stream(endless())
    assert [next(stream) for _ in range(100)] == ["AGAIN"] * 100


def test_a_finished_result_does_not_wait_for_a_late_input() -> None:
    late = threading.Event()

    def source() -> Iterator[str]:
        yield "first"
        time.sleep(0.05)
        yield "second"
        late.wait(10)
        yield "third"

    stream = runner(EchoTask()).stream(source())
    assert next(stream) == "FIRST"
    assert next(stream) == "SECOND"
    late.set()
    assert list(stream) == ["THIRD"]


@pytest.mark.parametrize(
    ("bad", "kind"), [("unreadable", ValueError), ("poison", RuntimeError), ("unwritable", KeyError)]
)
def test_a_bad_input_stands_in_its_place_and_the_rest_is_unharmed(bad: str, kind: type[Exception]) -> None:
    texts = [f"t{number}" for number in range(40)]
    texts[7] = texts[29] = bad
    results = list(runner(EchoTask()).stream(texts))
    failed = [result for result in results if isinstance(result, FailedItem)]
    assert [(f.index, type(f.error)) for f in failed] == [(7, kind), (29, kind)]
    assert [r for r in results if isinstance(r, str)] == [t.upper() for t in texts if t != bad]


def test_one_bad_chunk_fails_its_whole_input_only() -> None:
    results = list(runner(EchoTask(width=6)).stream(["good", "prefixpoisoned", "fine"]))
    assert results[0] == "GOOD"
    assert isinstance(results[1], FailedItem)
    assert results[2] == "FINE"


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    passes: list[list[str]] = []
    cramped = runner(EchoTask(most_rows=2, passes=passes))
    assert list(cramped.stream(["abc"] * 41)) == ["ABC"] * 41
    assert cramped.limits.tokens < SMALL.tokens
    too_large = [number for number, rows in enumerate(passes) if len(rows) > 2]
    assert max(too_large) < len(passes) // 2, "what did not fit once is not tried in every window"


def test_what_the_source_raises_comes_after_the_inputs_before_it() -> None:
    def source() -> Iterator[str]:
        yield "one"
        yield "two"
        raise OSError("disk gone")

    stream = runner(EchoTask()).stream(source())
    assert [next(stream), next(stream)] == ["ONE", "TWO"]
    with pytest.raises(OSError, match="disk gone"):
        next(stream)


def test_many_threads_may_share_a_runner() -> None:
    shared = runner(EchoTask(width=5))
    texts = [[f"thread{worker}item{number}" for number in range(100)] for worker in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda own: list(shared.stream(own)), texts))
    assert results == [[text.upper() for text in own] for own in texts]


def test_async_sources_stream_in_order_without_waiting_for_late_inputs() -> None:
    async def check() -> None:
        gate = asyncio.Event()

        async def source() -> AsyncIterator[str]:
            for number in range(50):
                yield f"n{number}"
            await gate.wait()
            yield "last"

        stream = runner(EchoTask()).astream(source())
        assert [await anext(stream) for _ in range(50)] == [f"N{number}" for number in range(50)]
        gate.set()
        assert [result async for result in stream] == ["LAST"]

    asyncio.run(check())


def test_async_failures_stand_in_place_and_source_errors_come_last() -> None:
    async def source() -> AsyncIterator[str]:
        yield "good"
        yield "unreadable"
        raise OSError("socket gone")

    async def check() -> None:
        stream = runner(EchoTask()).astream(source())
        assert await anext(stream) == "GOOD"
        assert isinstance(await anext(stream), FailedItem)
        with pytest.raises(OSError, match="socket gone"):
            await anext(stream)

    asyncio.run(check())


def test_the_meter_counts_padding_and_can_be_read_for_one_call() -> None:
    meter = Meter()
    measured = runner(EchoTask(), meter=meter)
    list(measured.stream(["a" * 10, "b" * 8]))
    before = meter.read()
    assert (before.inputs, before.rows, before.forwards, before.tokens, before.padding) == (2, 2, 1, 18, 2)
    assert before.padding_ratio == pytest.approx(0.1)
    measured.one("abc")
    only = meter.read() - before
    assert (only.inputs, only.tokens, only.padding) == (1, 3, 0)
    assert RunStats().padding_ratio == 0.0
