"""How far a reader has to walk: functions, files and depth of our own code under the three calls users make.

Counted on a two-layer Llama with the interpreter's profiler hook; the peer's figures for the same calls are
224 functions in 34 files at depth 15 to load, 72 functions to run, 138 functions in 20 files to generate.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import pytest
import torch

from hf_config import AutoConfig
from hf_modeling import AutoModelForCausalLM, LlamaForCausalLM
from tools.workspace import ROOT

TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}
IDS = torch.arange(1, 7)[None]
OURS = str(ROOT / "packages")


@dataclass
class Walk:
    """Which of our functions ran under a call, and how deep they nested."""

    functions: set[CodeType] = field(default_factory=set)
    depth: int = 0
    _now: int = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        # Comprehensions are frames of their own in Python 3.11 only; module bodies run once at import.
        if event not in {"call", "return"} or not code.co_filename.startswith(OURS) or code.co_name[0] == "<":
            return
        self._now += 1 if event == "call" else -1
        self.functions.add(code)
        self.depth = max(self.depth, self._now)

    @property
    def files(self) -> set[str]:
        return {code.co_filename for code in self.functions}

    def __str__(self) -> str:
        names = sorted(f"{Path(code.co_filename).name}: {code.co_qualname}" for code in self.functions)
        counts = f"{len(self.functions)} functions in {len(self.files)} files, depth {self.depth}"
        return "\n  ".join([counts, *names])


def walk(call: Callable[[], object]) -> Walk:
    """Run `call` twice and count the second, after imports and first-use choices have been made."""
    call()
    seen = Walk()
    sys.setprofile(seen)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(AutoConfig.for_model("llama", **TINY)).eval()


def test_load(model: LlamaForCausalLM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    seen = walk(lambda: AutoModelForCausalLM.from_pretrained(tmp_path))
    assert len(seen.functions) <= 60, str(seen)
    assert len(seen.files) <= 12, str(seen)
    assert seen.depth <= 8, str(seen)


@torch.inference_mode()
def test_forward(model: LlamaForCausalLM) -> None:
    seen = walk(lambda: model(IDS, use_cache=False))
    assert len(seen.functions) <= 15, str(seen)


def test_generate(model: LlamaForCausalLM) -> None:
    seen = walk(lambda: model.generate(IDS, max_new_tokens=4, do_sample=False))
    assert len(seen.functions) <= 40, str(seen)
    assert len(seen.files) <= 8, str(seen)
