"""The seam of a pipeline: what a task is, and the limits under which the runner feeds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
Chunk = TypeVar("Chunk")
Raw = TypeVar("Raw")


class Task(Protocol[In_contra, Chunk, Raw, Out_co]):
    """Three steps from an input to its record. One immutable object serves one call, on any thread.

    An input becomes one or more chunks (windows of a long text, one pair for each label, ...). Chunks of
    different inputs share forward passes; an input is finished once all of its chunks are.
    """

    def preprocess(self, inputs: Sequence[In_contra]) -> list[list[Chunk]]:
        """Chunks of every input, in order. Raises on the first bad input."""
        ...

    def length(self, chunk: Chunk) -> int:
        """How long the chunk is, in the unit that padding wastes (tokens, frames)."""
        ...

    def forward(self, chunks: Sequence[Chunk]) -> Sequence[Raw]:
        """Run the model once over the chunks, padded together; one raw output for each."""
        ...

    def postprocess(self, chunks: Sequence[Chunk], raws: Sequence[Raw]) -> Out_co:
        """The record of one input from all of its chunks and their raw outputs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the runner may read ahead and put into one forward pass.

    `tokens` bounds rows x longest row; one row longer than that still runs, alone. `overhead` is what a
    forward pass costs beyond its tokens, counted in tokens: it decides when padding is cheaper than another
    pass.
    """

    tokens: int
    rows: int
    lookahead: int
    overhead: int

    def __post_init__(self) -> None:
        for name in ("tokens", "rows", "lookahead"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.overhead < 0:
            raise ValueError(f"overhead must not be negative, not {self.overhead}")

    def at_most(self, rows: int) -> Limits:
        """The same limits with a batch size chosen by the caller; a size of 1 also reads nothing ahead."""
        return replace(
            self, rows=rows, tokens=UNLIMITED, lookahead=1 if rows == 1 else rows * LOOKAHEAD_BATCHES
        )


UNLIMITED = 1 << 62
LOOKAHEAD_BATCHES = 8

# Two cores reach full speed at about 2,000 tokens; the calls of one pass cost as much as 40 tokens of work.
CPU = Limits(tokens=2048, rows=64, lookahead=512, overhead=40)
# A large GPU is bound by kernel launches until some ten thousand tokens.
ACCELERATOR = Limits(tokens=32_768, rows=512, lookahead=4096, overhead=2048)


def default_limits(device: torch.device) -> Limits:
    """Limits for encoders on this kind of device."""
    return CPU if device.type == "cpu" else ACCELERATOR
