"""`generate_many`: all answers to many requests, and the same as a stream of events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Unpack

from hf_config.errors import ConfigError
from hf_modeling.generation.errors import GenerationError
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.options import GenerateOptions
from hf_modeling.generation.serving.engine import Engine
from hf_modeling.generation.serving.request import Completion, Request, TokenEvent
from hf_modeling.generation.serving.scheduler import Limits
from hf_modeling.generation.stopping import FinishReason
from hf_modeling.generation.text import Detokenizer

AHEAD = 256
"""Requests that are taken from an iterator before earlier ones have ended."""


def generate_many(
    model: LanguageModel,
    requests: Iterable[Request | Sequence[int]],
    *,
    tokenizer: Detokenizer | None = None,
    memory: int | None = None,
    limits: Limits | None = None,
    **options: Unpack[GenerateOptions],
) -> list[Completion]:
    """An answer to every request, in their order, by continuous batching: nobody waits for the longest.

    Args:
        model: a causal language model.
        requests: prompts as ids, or `Request`s with options of their own; they may come from a generator.
        tokenizer: fills in `Completion.text`; stop strings need it.
        memory: bytes for keys and values; a quarter of what is available when None.
        limits: bounds of one step of the engine.
        options: for requests without their own.

    A request that cannot be served gives a completion with its error; the others do not notice.
    """
    tokens: list[list[int]] = []
    texts: list[list[str]] = []
    ends: dict[int, TokenEvent] = {}
    for number, event in stream_many(
        model, requests, tokenizer=tokenizer, memory=memory, limits=limits, **options
    ):
        while number >= len(tokens):
            tokens.append([])
            texts.append([])
        if event.token is not None:
            tokens[number].append(event.token)
            texts[number].append(event.text)
        if event.finish_reason is not None:
            ends[number] = event
    return [
        Completion(
            tokens=tuple(tokens[number]),
            text="".join(texts[number]),
            finish_reason=ends[number].finish_reason or FinishReason.ERROR,
            error=ends[number].error,
        )
        for number in range(len(tokens))
    ]


def stream_many(
    model: LanguageModel,
    requests: Iterable[Request | Sequence[int]],
    *,
    tokenizer: Detokenizer | None = None,
    memory: int | None = None,
    limits: Limits | None = None,
    **options: Unpack[GenerateOptions],
) -> Iterator[tuple[int, TokenEvent]]:
    """Events of all requests as they happen, each with the position of its request. As `generate_many`."""
    engine = Engine(model, tokenizer=tokenizer, memory=memory, limits=limits)
    coming, positions = enumerate(requests), dict[int, int]()
    refused: deque[tuple[int, TokenEvent]] = deque()
    more = True
    while True:
        while more and len(positions) < AHEAD:
            found = next(coming, None)
            more = found is not None
            if found is not None:
                position, request = found
                _add(engine, position, request, options, positions, refused)
        while refused:
            yield refused.popleft()
        if not engine.has_work:
            return
        for event in engine.step():
            yield positions[event.request], event
            if event.finish_reason is not None:
                del positions[event.request]


def _add(
    engine: Engine,
    position: int,
    request: Request | Sequence[int],
    options: GenerateOptions,
    positions: dict[int, int],
    refused: deque[tuple[int, TokenEvent]],
) -> None:
    if not isinstance(request, Request):
        request = Request(prompt=request, options=options)
    try:
        positions[engine.add(request)] = position
    except (GenerationError, ConfigError) as error:
        event = TokenEvent(request=-1, token=None, finish_reason=FinishReason.ERROR, error=error)
        refused.append((position, event))
