"""The peer, imported once with the warnings of its own dependencies left out."""

import warnings
from typing import Any

import pytest


@pytest.fixture(scope="session")
def peer() -> Any:
    """The transformers library."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
        from transformers import LlamaForCausalLM, Trainer, TrainingArguments  # noqa: F401 - imports its parts

    return transformers
