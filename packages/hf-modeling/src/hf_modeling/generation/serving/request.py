"""What is asked of the engine, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hf_modeling.generation.options import GenerateOptions
from hf_modeling.generation.processors.base import LogitsProcessor
from hf_modeling.generation.stopping import FinishReason, StoppingCriteria


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One prompt and how to go on from it. Every request of a batch has its own options."""

    prompt: Sequence[int]
    options: GenerateOptions = field(default_factory=GenerateOptions)
    seed: int | None = None
    """Its random stream; None draws from torch's."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logits_processor: Sequence[LogitsProcessor] = ()
    stopping_criteria: Sequence[StoppingCriteria] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEvent:
    """One token of one request, or its end without a token."""

    request: int
    token: int | None
    text: str = ""
    """What the token completes; empty without a tokenizer."""
    finish_reason: FinishReason | None = None
    """Set with the last event of the request."""
    error: Exception | None = None
    """Why the request failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """Everything that was generated for one request."""

    tokens: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    error: Exception | None = None
