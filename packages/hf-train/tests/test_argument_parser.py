"""`HfArgumentParser`: flags from fields, files of arguments, and what it refuses."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest

from hf_train.argparser import HfArg, HfArgumentParser, ParserError, read_mapping
from hf_train.arguments import TrainingArguments


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Model:
    _argument_group_name = "the model"

    name: str
    layers: int = 2
    rate: float | None = None
    tied: bool = True
    frozen: bool = False
    maybe: bool | None = None
    colour: Colour = Colour.RED
    mode: Literal["fast", "exact", 3] = "fast"
    targets: list[str] = field(default_factory=list)
    numbers: Sequence[int] | None = None
    options: Mapping[str, Any] | str | None = None
    report_to: str | Sequence[str] = "none"
    short: int = HfArg(aliases=["-s"], help="a 100% number", default=1)


def parsed(*words: str) -> Model:
    (model,) = HfArgumentParser(Model).parse_args_into_dataclasses(["--name", "m", *words])
    assert isinstance(model, Model)
    return model


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--layers 4", "layers", 4),
        ("--rate 1e-4", "rate", 1e-4),
        ("--tied false", "tied", False),
        ("--no_tied", "tied", False),
        ("--no-tied", "tied", False),
        ("--frozen", "frozen", True),
        ("--frozen no", "frozen", False),
        ("--maybe", "maybe", True),
        ("--colour blue", "colour", Colour.BLUE),
        ("--mode exact", "mode", "exact"),
        ("--mode 3", "mode", 3),
        ("--targets a b", "targets", ["a", "b"]),
        ("--numbers 1 2", "numbers", [1, 2]),
        ('--options {"a":[1,2]}', "options", {"a": [1, 2]}),
        ("--options file.json", "options", "file.json"),
        ("--report_to wandb", "report_to", "wandb"),
        ("--report-to wandb csv", "report_to", ["wandb", "csv"]),
        ("-s 7", "short", 7),
    ],
)
def test_flags(words: str, name: str, value: object) -> None:
    assert getattr(parsed(*words.split()), name) == value


def test_defaults_are_the_dataclasses() -> None:
    assert parsed() == Model(name="m")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--layers two", "'two' is not a whole number"),
        ("--mode slow", "'slow' is not one of fast, exact, 3"),
        ("--tied perhaps", "is not true or false"),
        ("--options {broken", "--options"),
    ],
)
def test_values_that_do_not_fit_end_with_code_two(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed(*words.split())
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_unknown_flags_are_refused_or_given_back() -> None:
    with pytest.raises(ParserError, match="did you mean '--layers'"):
        parsed("--layer", "3")
    parser = HfArgumentParser(Model)
    model, rest = parser.parse_args_into_dataclasses(
        ["--name", "m", "--other", "3"], return_remaining_strings=True
    )
    assert (model.name, rest) == ("m", ["--other", "3"])


def test_files_of_arguments_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.args").write_text("--name file --layers 3  # a comment\n--rate 0.5")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "run.py"), "--layers", "5"])
    parser = HfArgumentParser(Model)
    (model,) = parser.parse_args_into_dataclasses()
    assert (model.name, model.layers, model.rate) == ("file", 5, 0.5)
    (model,) = parser.parse_args_into_dataclasses(
        ["--args", str(tmp_path / "run.args")], look_for_args_file=False, args_file_flag="--args"
    )
    assert model.name == "file"
    (model,) = parser.parse_args_into_dataclasses([], args_filename=tmp_path / "run.args")
    assert model.layers == 3


@dataclass
class Data:
    file: str = "rows.jsonl"


def test_several_dataclasses_and_the_training_arguments(tmp_path: Path) -> None:
    parser = HfArgumentParser((Data, TrainingArguments))
    words = ["--file", "a", "--output_dir", str(tmp_path), "--max-steps", "3"]
    data, args = parser.parse_args_into_dataclasses([*words, "--lr_scheduler_kwargs", '{"num_cycles": 2}'])
    assert (data.file, args.max_steps, args.lr_scheduler_kwargs) == ("a", 3, {"num_cycles": 2})
    (only,) = HfArgumentParser(TrainingArguments).parse_dict(
        {"output_dir": str(tmp_path), "learning_rate": 1.0}
    )
    assert only.learning_rate == 1.0
    with pytest.raises(ParserError, match="two dataclasses have the field"):
        HfArgumentParser((Model, TrainingArguments))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", '{"name": "m", "layers": 4}'),
        ("run.yaml", "name: m\nlayers: 4\n"),
        ("run.toml", 'name = "m"\nlayers = 4\n'),
    ],
)
def test_files_of_values(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    parser = HfArgumentParser([Model])
    read = {".json": parser.parse_json_file, ".yaml": parser.parse_yaml_file, ".toml": parser.parse_toml_file}
    assert read[file.suffix](file) == (Model(name="m", layers=4),)


def test_values_of_no_field_are_refused(tmp_path: Path) -> None:
    parser = HfArgumentParser(Model)
    with pytest.raises(ParserError, match="no field is called 'layer'; did you mean 'layers'"):
        parser.parse_dict({"name": "m", "layer": 3})
    assert parser.parse_dict({"name": "m", "layer": 3}, allow_extra_keys=True) == (Model(name="m"),)
    for name, text in (("list.yaml", "- a"), ("bad.yaml", "a: [1"), ("bad.toml", "a = ")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ParserError, match=name):
            read_mapping(tmp_path / name)


def test_only_dataclasses_have_flags() -> None:
    with pytest.raises(ParserError, match="int is not a dataclass"):
        HfArgumentParser(int)


def test_help_shows_groups_and_percent_signs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        HfArgumentParser(Model).parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "the model:" in shown
    assert "a 100% number" in shown
