"""Incremental text, streamers and stopping criteria, on a tokenizer of bytes."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.stopping import (
    ConfidenceCriteria,
    EosTokenCriteria,
    FinishReason,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
    reason_of,
)
from hf_modeling.generation.streamers import AsyncTextIteratorStreamer, TextIteratorStreamer, TextStreamer
from hf_modeling.generation.text import TextStream


class Pieces:
    """A tokenizer whose vocabulary is 256 bytes and some longer pieces; id 300 is special."""

    pieces = [bytes([i]) for i in range(256)] + [b"st", b"op", b"stop", b"xsto", b"p!", "é".encode()]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        special = b"" if skip_special_tokens else b"</s>"
        return b"".join(special if i == 300 else self.pieces[i] for i in token_ids).decode(errors="replace")


def encode(text: str) -> list[int]:
    return list(text.encode())


@given(st.text(max_size=30), st.integers(1, 4))
def test_pieces_of_a_stream_join_to_the_whole_text(text: str, chunk: int) -> None:
    stream, ids = TextStream(Pieces()), encode(text)
    pieces = [stream.push(ids[i : i + chunk]) for i in range(0, len(ids), chunk)]
    assert "".join(pieces) + stream.finish() == text
    assert stream.finish() == ""


def test_a_character_is_given_out_once_complete() -> None:
    stream = TextStream(Pieces())
    assert [stream.push([i]) for i in encode("a🙂b")] == ["a", "", "", "", "🙂", "b"]


def test_bytes_that_are_no_character_do_not_hold_the_stream() -> None:
    stream = TextStream(Pieces())
    assert any(stream.push([0xFF]) for _ in range(8))
    assert "ok" in stream.push(encode("ok"))


def test_printing_streamer() -> None:
    out: list[str] = []
    streamer = TextStreamer(Pieces(), skip_prompt=True, skip_special_tokens=True, write=out.append)
    streamer.put(torch.tensor([encode("prompt")]))
    for token in [*encode("né"), 300]:
        streamer.put(torch.tensor([token]))
    streamer.end()
    assert "".join(out) == "né\n"


def test_printing_a_batch_keeps_lines_whole() -> None:
    out: list[str] = []
    streamer = TextStreamer(Pieces(), write=out.append)
    streamer.put(torch.tensor([encode("a"), encode("b")]))
    streamer.put(torch.tensor([encode("c")[0], encode("d")[0]]))
    streamer.put(torch.tensor([-1, encode("e")[0]]))
    streamer.end()
    assert "".join(out) == "ac\nbde\n"


def test_iterating_in_another_thread() -> None:
    streamer = TextIteratorStreamer(Pieces(), timeout=10)

    def produce() -> None:
        streamer.put(torch.tensor([encode("a")]))
        for token in encode("bécd"):
            streamer.put(torch.tensor([token]))
        streamer.end()

    thread = Thread(target=produce)
    thread.start()
    assert "".join(streamer) == "abécd"
    thread.join()


def test_iterating_over_a_batch() -> None:
    streamer = TextIteratorStreamer(Pieces(), skip_prompt=True, timeout=10)
    streamer.put(torch.tensor([encode("pp"), encode("qq")]))
    streamer.put(torch.tensor([encode("a")[0], encode("b")[0]]))
    streamer.end()
    assert sorted(streamer.rows()) == [(0, "a"), (1, "b")]


def test_async_iteration() -> None:
    async def run() -> str:
        streamer = AsyncTextIteratorStreamer(Pieces(), timeout=10)

        def produce() -> None:
            for token in encode("héllo"):
                streamer.put(torch.tensor([token]))
            streamer.end()

        thread = Thread(target=produce)
        thread.start()
        pieces = [piece async for piece in streamer]
        thread.join()
        return "".join(pieces)

    assert asyncio.run(run()) == "héllo"


@pytest.mark.parametrize(
    ("ids", "done"),
    [
        ([256, 257], True),  # st + op
        ([259, 260], True),  # xsto + p!
        ([258], True),
        ([*encode("sto"), *encode("p")], True),
        ([258, *encode("x")], False),  # it ended before the last token
        ([*encode("sto")], False),
        ([261, *encode("fini")], False),
        ([261, *encode("fin")], True),  # "éfin"
    ],
)
def test_stop_strings_across_token_boundaries(ids: list[int], done: bool) -> None:
    criterion = StopStringCriteria(Pieces(), ["stop", "éfin"])
    assert criterion(torch.tensor([ids])).tolist() == [done]


@given(st.lists(st.sampled_from("stopx"), min_size=1, max_size=12))
def test_a_stop_string_is_seen_exactly_when_it_appears(letters: list[str]) -> None:
    criterion, text = StopStringCriteria(Pieces(), "stop"), "".join(letters)
    seen = [bool(criterion(torch.tensor([encode(text[: n + 1])]))) for n in range(len(text))]
    assert seen == [text[: n + 1].endswith("stop") for n in range(len(text))]


@pytest.mark.parametrize("strings", ["", [], ["a", ""]])
def test_an_empty_stop_string_is_refused(strings: str | list[str]) -> None:
    with pytest.raises(OptionError, match="stop_strings"):
        StopStringCriteria(Pieces(), strings)


def test_criteria_and_their_reasons() -> None:
    ids = torch.tensor([[1, 2], [1, 3]])
    eos, length, late = EosTokenCriteria([3, 9]), MaxLengthCriteria(2), MaxTimeCriteria(-1.0)
    assert eos(ids).tolist() == [False, True]
    assert length(ids).tolist() == [True, True]
    assert late(ids).tolist() == [True, True]
    both = StoppingCriteriaList([EosTokenCriteria(3), EosTokenCriteria(2)])
    assert both(ids).tolist() == [True, True]
    assert StoppingCriteriaList([eos, length]).max_length == 2
    assert reason_of(eos) is FinishReason.STOP
    assert reason_of(length) is FinishReason.LENGTH
    assert reason_of(late) is FinishReason.TIME
    assert reason_of(StopStringCriteria(Pieces(), "a")) is FinishReason.STOP_STRING
    assert reason_of(lambda ids, scores: ids[:, 0] > 0) is FinishReason.CRITERIA


def test_confidence_needs_scores() -> None:
    criterion = ConfidenceCriteria(0.5)
    ids = torch.tensor([[0, 1]])
    assert criterion(ids, (torch.tensor([[5.0, 0.0]]),)).tolist() == [True]
    assert criterion(ids, (torch.tensor([[0.0, 5.0]]),)).tolist() == [False]
    with pytest.raises(OptionError, match="output_scores"):
        criterion(ids, None)
