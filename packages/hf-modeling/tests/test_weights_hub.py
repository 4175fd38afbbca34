"""Models over the Hub's protocol, against a server on loopback: load, load again offline, push."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hf_config import LlamaConfig
from hf_hub_io.testing import FakeHub
from hf_modeling import LlamaForCausalLM

pytestmark = pytest.mark.enable_socket


def run(hub: FakeHub, home: Path, code: str, **environment: str) -> list[object]:
    """The JSON that `code` prints in a Python whose Hub is `hub`."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=hub.environment(home, **environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


LOAD_AND_PUSH = """
    import json
    from hf_modeling import AutoModelForCausalLM

    def load(name):
        model = AutoModelForCausalLM.from_pretrained(name)
        total = sum(float(p.detach().double().sum()) for p in model.parameters())
        return model, [total, model.load_report.source, len(model.load_report.files)]

    model, found = load("org/tiny")
    pushed = model.push_to_hub("org/copy", token="hf_good")
    print(json.dumps([*found, pushed.repo_id, load("org/copy")[1][0]]))
"""
LOAD_OFFLINE = """
    import json
    from hf_modeling import LlamaModel
    print(json.dumps([LlamaModel.from_pretrained("org/tiny").load_report.source]))
"""


def test_load_push_and_load_offline(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "model", max_shard_size=2000)
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    expected = sum(float(p.detach().double().sum()) for p in model.parameters())
    with FakeHub() as hub:
        commit = hub.add("org/tiny", files)
        shards = [name for name in files if name.endswith(".safetensors")]
        found = run(hub, tmp_path / "home", LOAD_AND_PUSH)
        total = pytest.approx(expected, rel=1e-12)
        assert found == [total, f"org/tiny@{commit}", len(shards), "org/copy", total]
        assert all(len(hub.transfers(name)) == 1 for name in shards)
        before = len(hub.seen)
        assert run(hub, tmp_path / "home", LOAD_OFFLINE, HF_HUB_OFFLINE="1") == [f"org/tiny@{commit}"]
        assert len(hub.seen) == before
