"""Continuous batching: many requests, one model, one paged cache."""

from hf_modeling.generation.serving.background import AsyncEngine
from hf_modeling.generation.serving.engine import Engine
from hf_modeling.generation.serving.many import generate_many, stream_many
from hf_modeling.generation.serving.request import Completion, Request, TokenEvent
from hf_modeling.generation.serving.scheduler import Limits

__all__ = [
    "AsyncEngine",
    "Completion",
    "Engine",
    "Limits",
    "Request",
    "TokenEvent",
    "generate_many",
    "stream_many",
]
