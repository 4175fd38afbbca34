"""`hft quantize`: a model in, a packed one out with its receipt; what is wrong is one message."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

from hf_config import LlamaConfig
from hf_config.quantization import QuantoConfig
from hf_hub_io.errors import HfError
from hf_modeling import AutoModelForCausalLM, LlamaForCausalLM
from hf_quant import quantize_model
from hf_quant.errors import AlreadyQuantizedError, CalibrationDataError
from hf_transformers.cli import app
from hf_transformers.cli.quantize_command import QuantizeCommandError

WORDS = ["<unk>", "<end>", "the", "cat", "sat", "on", "mat", "dog"]
ROLES = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "<end>"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
    ).save_pretrained(folder)
    rust = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(ROLES))
    (tmp_path / "text.txt").write_text("the cat sat on the mat the dog sat on the cat\n" * 20)
    return folder


def hft(*arguments: str | Path) -> str:
    """Runs `hft quantize ...`; errors come as they are raised."""
    result = CliRunner().invoke(app, ["quantize", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("method", "bits"),
    [("gptq", 4), ("gptq", 8), ("awq", 4), ("auto-round", 4), ("hqq", 4), ("quanto", 8), ("bitsandbytes", 8)],
)
def test_a_model_is_quantized_and_says_what_it_lost(
    method: str, bits: int, model: Path, tmp_path: Path
) -> None:
    out, text = tmp_path / "out", tmp_path / "text.txt"
    size = ["--group-size", "32"] if method in ("gptq", "awq", "auto-round", "hqq") else []
    rows: list[str | Path] = ["--samples", "4", "--length", "16", "--text", text, "--eval", text]
    printed = hft("--method", method, "--bits", str(bits), *size, *rows, model, out)
    assert "perplexity" in printed
    assert "14 of 16 weights packed" in printed
    record = json.loads((out / "quantization_report.json").read_text())
    assert record["perplexity"]["after"] < record["perplexity"]["before"] * 1.1
    assert record["bytes_after"] < record["bytes_before"]
    assert ("layers" in record) == (method in ("gptq", "awq", "auto-round"))
    again = AutoModelForCausalLM.from_pretrained(out)
    assert again.config.quantization_config is not None
    assert again.config.quantization_config.quant_method == method
    assert (out / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--method", "gptq"], QuantizeCommandError, "with data"),
        (
            ["--method", "gptq", "--text", "text.txt"],
            CalibrationDataError,
            "240 tokens; 1 rows of 256 take 256",
        ),
        (["--method", "gptq", "--text", "none.txt"], QuantizeCommandError, "cannot be read as text"),
        (["--method", "bitsandbytes", "--bits", "3"], QuantizeCommandError, "has no 3 bits"),
        (["--method", "compressed-tensors", "--bits", "4"], QuantizeCommandError, "do not name one width"),
        (["--method", "gptq", "--bits", "99"], HfError, "bits"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_leaves_no_folder(
    arguments: list[str],
    error: type[Exception],
    message: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        hft(*arguments, model, "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_or_quantized_twice(model: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizeCommandError, match="there already"):
        hft("--method", "hqq", model, model)
    quantize_model(loaded := LlamaForCausalLM.from_pretrained(model), QuantoConfig(weights="int8"))
    loaded.save_pretrained(model)
    with pytest.raises(AlreadyQuantizedError):
        hft("--method", "hqq", "--group-size", "32", model, tmp_path / "twice")
