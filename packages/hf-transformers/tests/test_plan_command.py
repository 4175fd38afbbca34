"""`hft plan` from a config alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hf_transformers.cli import app
from hf_transformers.cli.plan_command import AmountError, amount

LLAMA = {
    "model_type": "llama",
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return tmp_path / "config.json"


def test_layouts_as_a_picture(config: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = config.with_name("plan.png")
    result = CliRunner().invoke(app, ["plan", str(config), "--png", str(picture)])
    assert result.exit_code == 0, result.output
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_layouts_as_a_table(config: Path) -> None:
    options = ["--gpus", "64", "--seq", "8192", "--tokens-per-step", "4M", "--run-tokens", "1T"]
    result = CliRunner().invoke(app, ["plan", str(config), *options])
    assert result.exit_code == 0, result.output
    assert "8.03B parameters on 64 devices" in result.output
    assert "parallel=" in result.output
    assert "days" in result.output


def test_the_best_layouts_as_json(config: Path) -> None:
    result = CliRunner().invoke(
        app, ["plan", str(config), "--gpus", "16", "--fix", "tp=4", "--json", "--top", "3"]
    )
    found = json.loads(result.output)
    assert found["parameters"] == 8_030_261_248
    assert len(found["layouts"]) == 3
    assert all("tp=4" in one["layout"] and one["fits"] for one in found["layouts"])
    steps = [one["times"]["step"] for one in found["layouts"]]
    assert steps == sorted(steps)


def test_one_layout_with_its_placements(config: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(config), "--layout", "dp_shard=4,tp=2", "--show"])
    assert result.exit_code == 0, result.output
    assert "model.layers.*.self_attn.q_proj.weight" in result.output


@pytest.mark.parametrize(("text", "number"), [("4M", 4e6), ("1.5T", 1.5e12), ("4_096", 4096), ("8k", 8e3)])
def test_amounts(text: str, number: float) -> None:
    assert amount(text) == number


def test_amounts_that_are_none() -> None:
    with pytest.raises(AmountError, match="'many' is not a number of tokens"):
        amount("many")


def test_degrees_that_fix_nothing(config: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(config), "--fix", "tensor=2"])
    assert isinstance(result.exception, AmountError)
