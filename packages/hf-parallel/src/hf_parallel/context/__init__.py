"""Context parallelism: each rank of `cp` holds some tokens of every sequence, and sees the others' keys."""

from hf_parallel.context.apply import apply_context, context_problems
from hf_parallel.context.order import ContextOrder

__all__ = ["ContextOrder", "apply_context", "context_problems"]
