"""Streaming: tokens and text as they are chosen, for a batch of any size, in this thread or in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor

from hf_config import GenerationConfig
from hf_modeling.generation.api import tokens_of
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.options import GenerateArguments, merge_options, split_arguments
from hf_modeling.generation.start import checkpoint_options, start_run
from hf_modeling.generation.stopping import FinishReason
from hf_modeling.generation.text import TextStream


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamEvent:
    """One token of one sequence."""

    sequence: int
    """Its row in the batch."""
    token: int
    text: str
    """What the token completes; empty inside of a character, or without a tokenizer."""
    finish_reason: FinishReason | None = None
    """Set with the last token of the sequence."""


def stream(
    model: LanguageModel,
    inputs: Tensor | None = None,
    generation_config: GenerationConfig | None = None,
    **arguments: Unpack[GenerateArguments],
) -> Iterator[StreamEvent]:
    """Events as tokens are chosen; whoever stops iterating stops the generation.

    Options are checked before the first event. With `tokenizer=...` events carry text. Beam search cannot be
    streamed. Raises as `generate`.
    """
    given, options = split_arguments(arguments)
    run = start_run(
        model, inputs, merge_options(checkpoint_options(model), generation_config, options), given
    )
    steps, tokenizer = tokens_of(run, given), given.get("tokenizer")
    texts = [None if tokenizer is None else TextStream(tokenizer) for _ in range(run.prompt.batch)]

    def events() -> Iterator[StreamEvent]:
        while True:
            # Inference mode ends before the consumer runs: it must not see it.
            with torch.inference_mode():
                tokens = next(steps, None)
            if tokens is None:
                return
            for row, (token, text) in enumerate(zip(tokens, texts, strict=True)):
                if token >= 0:
                    reason = run.reasons[row]
                    piece = "" if text is None else text.push([token]) + (text.finish() if reason else "")
                    yield StreamEvent(sequence=row, token=token, text=piece, finish_reason=reason)

    return events()


async def astream(
    model: LanguageModel,
    inputs: Tensor | None = None,
    generation_config: GenerationConfig | None = None,
    **arguments: Unpack[GenerateArguments],
) -> AsyncIterator[StreamEvent]:
    """As `stream`, with the model running in another thread while the event loop goes on."""
    events = stream(model, inputs, generation_config, **arguments)
    while (event := await asyncio.to_thread(next, events, None)) is not None:
        yield event
