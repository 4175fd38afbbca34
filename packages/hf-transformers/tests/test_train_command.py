"""`hft train`: a file in, a model out; what is wrong is one message."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

from hf_config.families.llama import LlamaConfig
from hf_hub_io.errors import HfError
from hf_transformers.cli import app

WORDS = ["<unk>", "<end>", "the", "cat", "sat", "on", "mat"]


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    ).save_pretrained(model)
    rust = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.save(str(model / "tokenizer.json"))
    roles = {"unk_token": "<unk>", "eos_token": "<end>"}
    (model / "tokenizer_config.json").write_text(json.dumps(roles))
    (tmp_path / "rows.txt").write_text("the cat sat on the mat\n" * 8)
    file = tmp_path / "run.toml"
    file.write_text(
        'task = "causal-lm"\nmodel = "model"\nreport = false\nconfig = {}\n'
        '[data]\ntrain = "rows.txt"\nvalidation = "rows.txt"\n'
        '[training]\noutput_dir = "out"\nmax_steps = 30\nlearning_rate = 0.01\ndisable_tqdm = true\n'
    )
    return file


def test_a_run_leaves_a_model_and_says_what_it_did(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--config", str(run_file), "--set", "training.max_steps=25"])
    assert result.exit_code == 0, result.output
    for shown in ("max_steps", "parameters; 8 rows", "a device: weights", "done", "eval_accuracy"):
        assert shown in result.output
    state = json.loads((run_file.parent / "out" / "trainer_state.json").read_text())
    assert state["global_step"] == 25
    resumed = CliRunner().invoke(app, ["train", "-c", str(run_file), "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert json.loads((run_file.parent / "out" / "trainer_state.json").read_text())["global_step"] == 30


def test_a_dry_run_trains_nothing(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--config", str(run_file), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert "a device: weights" in result.output
    assert not (run_file.parent / "out" / "trainer_state.json").exists()


def test_curves_are_written_when_asked_for(run_file: Path) -> None:
    pytest.importorskip("matplotlib")
    result = CliRunner().invoke(
        app, ["train", "-c", str(run_file), "--report", "-s", "training.logging_steps=5"]
    )
    assert result.exit_code == 0, result.output
    assert (run_file.parent / "out" / "learning_curves.png").is_file()
    assert "<h2>Arguments</h2>" in (run_file.parent / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "training.max_step=3"], "max_step"),
        (["--set", "task=poems"], "no task is called 'poems'"),
        (["--set", "nonsense"], "is not name=value"),
    ],
)
def test_what_is_wrong_is_one_message(run_file: Path, words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["train", "--config", str(run_file), *words])
    assert isinstance(result.exception, HfError)
    assert said in str(result.exception)
