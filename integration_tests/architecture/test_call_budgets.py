"""How far a reader has to walk: functions, files and depth of our own code under the three calls users make.

Counted on a two-layer Llama with the interpreter's profiler hook, at the second call. Budgets are what is
reached: a number may fall, and does not rise unnoticed. Functions / files / depth:

                        reached          the design's aim    the peer
    load                153 / 52 / 14    60 / 12 / 8         224 / 34 / 15
    forward              13 / 10 /  6    15                   72 / 13 / 13
      making a cache     15 / 11 /  6
    generate             52 / 27 / 11    40 /  8             138 / 20 / 16

The aims for load and generate are missed. The peer's figures leave out the libraries that fetch and parse files
for it; ours count every package of this workspace, and a file here holds one mechanism.

Four calls of loading ask whether weights are packed, by whom, and whether a decoder reads an encoder.

Thirteen of the functions under generate are the model's own forward, and a dozen merge and check options, whose
package is below this one. What else could go are steps with a name and a second user: `make_plan` (serving),
`tokens_of` (streaming), `Run.call` and `Run.scores` (every way to decode).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import pytest
import torch

from hf_config import AutoConfig, GenerationConfig
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


STAGES: dict[str, tuple[str, ...]] = {
    "files": ("hf_hub_io",),
    "config": ("hf_config",),
    "build": tuple(
        f"hf_modeling/{part}" for part in ("build", "layers", "families", "heads", "decoder", "masks")
    ),
    "weights": ("hf_modeling/weights", "hf_modeling/device_map"),
    "calls": ("hf_modeling/",),
}
"""The stages of loading by where their code lies; what no other stage has is the calls that tie them together."""


def stage_of(code: CodeType) -> str:
    place = Path(code.co_filename).as_posix().rpartition("/src/")[2]
    return next(stage for stage, places in STAGES.items() if place.startswith(places))


@pytest.fixture(scope="module")
def load(model: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    GenerationConfig(eos_token_id=2).save_pretrained(folder)  # nearly every checkpoint has one
    return walk(lambda: AutoModelForCausalLM.from_pretrained(folder))


def test_load(load: Walk) -> None:
    assert len(load.functions) <= 153, str(load)
    assert len(load.files) <= 52, str(load)
    assert load.depth <= 14, str(load)


@pytest.mark.parametrize(
    ("stage", "functions", "files"),
    [("files", 26, 9), ("config", 25, 8), ("build", 44, 19), ("weights", 38, 8), ("calls", 20, 8)],
)
def test_each_stage_of_loading(load: Walk, stage: str, functions: int, files: int) -> None:
    walked = {code for code in load.functions if stage_of(code) == stage}
    assert 0 < len(walked) <= functions, str(load)
    assert len({code.co_filename for code in walked}) <= files, str(load)


@torch.inference_mode()
@pytest.mark.parametrize(("use_cache", "functions", "files"), [(False, 13, 10), (True, 15, 11)])
def test_forward(model: LlamaForCausalLM, use_cache: bool, functions: int, files: int) -> None:
    seen = walk(lambda: model(IDS, use_cache=use_cache))
    assert len(seen.functions) <= functions, str(seen)
    assert len(seen.files) <= files, str(seen)
    assert seen.depth <= 6, str(seen)


def test_generate(model: LlamaForCausalLM) -> None:
    seen = walk(lambda: model.generate(IDS, max_new_tokens=4, do_sample=False))
    assert len(seen.functions) <= 52, str(seen)
    assert len(seen.files) <= 27, str(seen)
    assert seen.depth <= 11, str(seen)
