"""Every script of `examples/training` runs on tiny data and learns it."""

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hf_config.families.bert import BertConfig
from hf_config.families.llama import LlamaConfig
from hf_config.families.t5 import T5Config
from hf_modeling import BertForMaskedLM, LlamaForCausalLM, T5ForConditionalGeneration
from tools.workspace import ROOT

SCRIPTS = ROOT / "examples" / "training"
WORDS = re.findall(
    r"\w+", "good bad fine film book the a was is very what red blue cat dog house Anna Berlin"
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZE = len(SPECIAL + WORDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models with random weights, saved as checkpoints are."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 48}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(root / "llama")
    BertForMaskedLM(BertConfig(max_position_embeddings=64, **sizes)).save_pretrained(root / "bert")
    t5 = T5Config(
        vocab_size=SIZE, d_model=32, d_ff=48, d_kv=8, num_layers=1, num_heads=4, decoder_start_token_id=0
    )
    T5ForConditionalGeneration(t5).save_pretrained(root / "t5")
    for name, single, pair in (
        ("llama", "$A", "$A $B:1"),
        ("bert", "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
        ("t5", "$A [SEP]", "$A [SEP] $B:1 [SEP]:1"),
    ):
        vocabulary = {token: index for index, token in enumerate(SPECIAL + WORDS)}
        rust = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        rust.pre_tokenizer = pre_tokenizers.Whitespace()
        rust.add_special_tokens(SPECIAL)
        rust.post_processor = processors.TemplateProcessing(
            single=single, pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        rust.save(str(root / name / "tokenizer.json"))
        roles = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL}
        (root / name / "tokenizer_config.json").write_text(json.dumps(roles | {"eos_token": "[SEP]"}))
    return root


def main_of(script: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], dict[str, float]]:
    spec = importlib.util.spec_from_file_location(f"example_{script}", SCRIPTS / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look up their annotations
    spec.loader.exec_module(module)
    main: Callable[[Sequence[str]], dict[str, float]] = module.main
    return main


def lines() -> list[str]:
    return [
        f"the {thing} was {word}" for thing, word in (("film", "good"), ("book", "bad")) for _ in range(20)
    ]


def reviews() -> list[dict[str, Any]]:
    return [{"text": line, "label": "pos" if line.endswith("good") else "neg"} for line in lines()]


def tags() -> list[dict[str, Any]]:
    names = [("Anna", "PER"), ("Berlin", "LOC")] * 20
    return [{"tokens": ["the", name], "tags": ["O", tag]} for name, tag in names]


def questions() -> list[dict[str, Any]]:
    rows = []
    for colour in ("red", "blue") * 20:
        answers = {"text": [colour], "answer_start": [11]}
        rows.append({"question": "what is the cat", "context": f"the cat is {colour}", "answers": answers})
    return rows


def pairs() -> list[dict[str, Any]]:
    return [
        {"source": f"the {a} was", "target": f"{a} {b}"} for a, b in (("cat", "red"), ("dog", "blue")) * 20
    ]


CASES: dict[str, tuple[str, list[Any], str, float]] = {
    "causal_language_model": ("llama", lines(), "eval_accuracy", 0.5),
    "masked_language_model": ("bert", lines(), "eval_accuracy", 0.3),
    "text_classification": ("bert", reviews(), "eval_accuracy", 0.95),
    "token_classification": ("bert", tags(), "eval_f1", 0.95),
    "question_answering": ("bert", questions(), "eval_exact", 0.95),
    "sequence_to_sequence": ("t5", pairs(), "eval_loss", 0.0),
}


def test_every_script_has_a_case() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(CASES)


@pytest.mark.parametrize("script", CASES)
def test_the_script_trains(
    script: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows, metric, least = CASES[script]
    file = tmp_path / "rows"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    words = ["--model_name", str(folder / model), "--train_file", str(file), "--validation_file", str(file)]
    words += ["--output_dir", str(tmp_path / "out"), "--max_steps", "40", "--learning_rate", "0.01"]
    if script == "question_answering":
        words += ["--max_length", "16", "--stride", "2"]
    metrics = main_of(script, monkeypatch)([*words, "--disable_tqdm", "true", "--save_strategy", "no"])
    assert metrics[metric] > least
    assert metrics["eval_loss"] < 2.0
    assert (tmp_path / "out" / "model.safetensors").is_file()
