"""The bundled storyteller: small, whole, and what the demo and the chat speak with."""

import io
import re
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hf_hub_io import MappedFile
from hf_pipelines import pipeline
from hf_tokenize import AutoTokenizer
from hf_transformers.cli import app
from hf_transformers.demo_data import storyteller

PLOTS = Path(__file__).parents[3] / "examples" / "storyteller"


def test_it_is_small_and_has_everything_a_model_needs() -> None:
    folder = storyteller()
    with MappedFile.open(folder / "model.safetensors") as weights:
        assert {tensor.dtype.value for tensor in weights.tensors.values()} == {"BF16"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    card = (folder / "README.md").read_text()
    for part in ("license: apache-2.0", "## Training data", "learning_curves.png", "Validation loss"):
        assert part in card
    assert (folder / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_it_speaks_english_and_ends() -> None:
    pipe = pipeline("text-generation", str(storyteller()), dtype="float32")
    torch.manual_seed(0)
    known = set(re.findall(r"[a-z]+", "".join(path.read_text() for path in PLOTS.glob("*.txt")).lower()))
    for request in ("Tell me a story about a dragon.", "a story about a storm", "One more!"):
        text = "".join(pipe.stream_text([{"role": "user", "content": request}]))
        words = re.findall(r"[a-z]+", text.lower())
        assert 40 < len(words) < 240
        assert sum(word in known for word in words) > 0.97 * len(words)
        assert text.rstrip()[-1] in '.!"'


def test_its_template_marks_who_speaks() -> None:
    tokenizer = AutoTokenizer.from_pretrained(storyteller())
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|begin|><|user|>hi<|end|><|storyteller|>"


def test_the_demo_tells_stories() -> None:
    result = CliRunner().invoke(app, ["demo", "generate", "--query", "Who are you?"])
    assert result.exit_code == 0, result.output
    assert "2.2 M parameters" in result.output
    assert "stor" in result.output.split("> Who are you?")[1]


def test_the_chat_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n"))
    result = CliRunner().invoke(app, ["chat", "--set", "do_sample=false"], input="hello\n\n")
    assert result.exit_code == 0, result.output
    assert "story" in result.output or "stories" in result.output
