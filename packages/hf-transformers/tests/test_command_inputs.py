from __future__ import annotations

import io
from pathlib import Path

import pytest

from hf_hub_io.errors import JsonFileError
from hf_transformers.cli.inputs import Format, InputFileError, parse_options, read_inputs


def read(
    tmp_path: Path, name: str, content: str, format: Format = Format.AUTO, column: str | None = None
) -> list[object]:
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    return list(read_inputs(None, file, format, column))


def test_literals_are_text_unless_they_are_json() -> None:
    given = ["hello", '{"question": "q", "context": "c"}', "[MASK] is text", "[1, 2]"]
    assert list(read_inputs(given, None, Format.AUTO, None)) == [
        "hello",
        {"question": "q", "context": "c"},
        "[MASK] is text",
        [1, 2],
    ]


def test_text_files_give_a_line_each_and_skip_empty_ones(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "one\n\n{two}\r\nthrée") == ["one", "{two}", "thrée"]


def test_json_lines_are_told_by_name_and_by_first_line(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '"one"\n{"two": 2}\n') == ["one", {"two": 2}]
    assert read(tmp_path, "a.data", '\n{"two": 2}\n') == [{"two": 2}]
    assert read(tmp_path, "b.data", "plain\n{not json}\n") == ["plain", "{not json}"]


def test_a_column_is_picked_from_json_and_csv(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"text": "x", "id": 1}\n', column="text") == ["x"]
    assert read(tmp_path, "a.csv", 'id,text\n1,"a, b"\n2,"two\nlines"\n', column="text") == [
        "a, b",
        "two\nlines",
    ]


def test_csv_rows_are_records_and_a_single_column_is_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "question,context\nq,c\n") == [{"question": "q", "context": "c"}]
    assert read(tmp_path, "b.csv", "text\nhello\n") == ["hello"]


def test_standard_input_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("first\nsecond\n"))
    assert list(read_inputs(None, None, Format.AUTO, None)) == ["first", "second"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"there is no file .*nothing\.txt"):
        read_inputs(None, tmp_path / "nothing.txt", Format.AUTO, None)


def test_a_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no column 'review'") as caught:
        read(tmp_path, "a.csv", "id,text\n1,x\n", column="review")
    assert caught.value.fix == "its columns are id, text"
    with pytest.raises(InputFileError, match=r"a.jsonl, line 2 has no key 'text'"):
        read(tmp_path, "a.jsonl", '{"text": 1}\n{"body": 2}\n', column="text")


def test_a_bad_json_line_is_named_by_number(tmp_path: Path) -> None:
    with pytest.raises(JsonFileError, match="line 2 is not valid JSON"):
        read(tmp_path, "a.jsonl", '{"a": 1}\n{"b": \n')


def test_settings_are_json_where_they_can_be() -> None:
    given = ["top_k=3", "multi_label=true", "candidate_labels=a,b", 'targets=["x"]', "prompt=", "name=a=b"]
    assert parse_options(given) == {
        "top_k": 3,
        "multi_label": True,
        "candidate_labels": "a,b",
        "targets": ["x"],
        "prompt": "",
        "name": "a=b",
    }


@pytest.mark.parametrize("setting", ["top_k", "=3", "top k=3"])
def test_a_setting_without_name_and_value_is_refused(setting: str) -> None:
    with pytest.raises(InputFileError, match="is not name=value"):
        parse_options([setting])
