"""Reading and writing config.json, and what is said when it cannot be read."""

import json
import math
import sys
from pathlib import Path

import pytest

from hf_config import (
    AutoConfig,
    BertConfig,
    LlamaConfig,
    Mamba2Config,
    PreTrainedConfig,
    config_class,
    model_types,
)
from hf_config.errors import ConfigError, InconsistentFieldsError, InvalidFieldError, UnknownModelTypeError
from hf_hub_io.errors import FileMissingError, JsonFileError


def write(folder: Path, text: str) -> Path:
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


def test_a_saved_config_is_read_again(tmp_path: Path) -> None:
    config = LlamaConfig(
        hidden_size=64, num_attention_heads=4, architectures=("LlamaForCausalLM",), dtype="bfloat16"
    )
    path = config.save_pretrained(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "config.json"
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]
    read = AutoConfig.from_pretrained(path.parent)
    assert read == config
    assert read.name_or_path == str(path.parent)
    assert "_name_or_path" not in json.loads(path.read_text())


def test_shared_fields_are_written_only_where_they_differ() -> None:
    written = LlamaConfig(num_labels=2).to_diff_dict()  # type: ignore[call-arg] # short for id2label
    assert not written.keys() & {
        "id2label",
        "output_attentions",
        "return_dict",
        "quantization_config",
        "_name_or_path",
    }
    assert written["vocab_size"] == 32000
    assert LlamaConfig(output_attentions=True).to_diff_dict()["output_attentions"] is True


def test_overrides_apply_after_reading(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path, num_labels=5, attn_implementation="eager")
    assert (config.num_labels, config.attn_implementation) == (5, "eager")
    assert "attn_implementation" not in config.to_dict()


def test_infinities_are_written_so_that_any_reader_can_parse_them(tmp_path: Path) -> None:
    Mamba2Config().save_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["time_step_limit"] == [0.0, {"__float__": "Infinity"}]
    assert Mamba2Config.from_pretrained(tmp_path).time_step_limit == (0.0, math.inf)
    write(tmp_path, '{"model_type": "mamba2", "time_step_limit": [0.0, Infinity]}')
    assert Mamba2Config.from_pretrained(tmp_path).time_step_limit == (0.0, math.inf)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BertConfig().save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    broken = LlamaConfig(extra={"fine": 1})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        broken.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"config\.json"):
        AutoConfig.from_pretrained(tmp_path)


def test_wrong_json_names_file_line_and_column(tmp_path: Path) -> None:
    write(tmp_path, '{\n  "model_type": "bert",\n  oops\n}')
    with pytest.raises(JsonFileError, match="line 3 column 3") as caught:
        AutoConfig.from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)


def test_a_list_is_not_a_config(tmp_path: Path) -> None:
    with pytest.raises(JsonFileError, match="holds a JSON list"):
        AutoConfig.from_pretrained(write(tmp_path, "[]"))


def test_an_unknown_model_type_names_the_nearest_and_the_file(tmp_path: Path) -> None:
    write(tmp_path, '{"model_type": "qwen3_mo"}')
    with pytest.raises(UnknownModelTypeError) as caught:
        AutoConfig.from_pretrained(tmp_path)
    text = str(caught.value)
    assert "unknown model_type 'qwen3_mo'; did you mean 'qwen3_moe'" in text
    assert text.count("'qwen") == 4
    assert "config.json" in text


def test_a_file_without_model_type_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model_type.*\(in .*config\.json\)"):
        AutoConfig.from_pretrained(write(tmp_path, "{}"))
    assert LlamaConfig.from_pretrained(tmp_path) == LlamaConfig()


def test_a_bad_value_names_field_value_and_file(tmp_path: Path) -> None:
    write(tmp_path, '{"model_type": "llama", "num_hidden_layers": "two"}')
    with pytest.raises(InvalidFieldError) as caught:
        AutoConfig.from_pretrained(tmp_path)
    assert caught.value.file == str(tmp_path / "config.json")
    assert "LlamaConfig.num_hidden_layers is 'two', expected an integer (in " in str(caught.value)


def test_another_familys_file_is_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InconsistentFieldsError, match="let AutoConfig choose the class"):
        LlamaConfig.from_pretrained(tmp_path)


def test_code_in_a_repository_never_runs(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("raise SystemExit('ran')")
    write(tmp_path, '{"model_type": "bert", "auto_map": {"AutoConfig": "code.Config"}}')
    assert AutoConfig.from_pretrained(tmp_path) == BertConfig(
        extra={"auto_map": {"AutoConfig": "code.Config"}}
    )


def test_for_model_starts_from_a_familys_defaults() -> None:
    config = AutoConfig.for_model("llama", vocab_size=7)
    assert isinstance(config, LlamaConfig)
    assert config.vocab_size == 7
    with pytest.raises(UnknownModelTypeError, match="'llama'"):
        AutoConfig.for_model("lama")


def test_other_packages_add_families_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_family.py").write_text(
        "from typing import ClassVar\n"
        "from hf_config.base import PreTrainedConfig\n"
        "from hf_config.record import record\n"
        "@record\n"
        "class OutsideConfig(PreTrainedConfig):\n"
        "    model_type: ClassVar[str] = 'outside'\n"
        "    vocab_size: int = 5\n"
    )
    info = tmp_path / "outside-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[hf_config.families]\noutside = outside_family:OutsideConfig\nwrong = json:dumps\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "outside" in model_types()
    config = PreTrainedConfig.from_dict({"model_type": "outside", "vocab_size": 9})
    assert type(config).__name__ == "OutsideConfig"
    with pytest.raises(ConfigError, match="not a PreTrainedConfig class"):
        config_class("wrong")
    config_class.cache_clear()
    sys.modules.pop("outside_family", None)
