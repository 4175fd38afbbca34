"""Folders that are no tokenizer, half a tokenizer, or two: the exact complaint, naming the file."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_hub_io.errors import HfError, JsonFileError
from hf_tokenize import AutoTokenizer
from hf_tokenize.errors import (
    ContradictionError,
    TokenizerFileError,
    TokenizerFilesError,
    UnknownOptionError,
    VocabularyHoleError,
)

FolderOf = Callable[[str], Path]
BPE: dict[str, object] = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
PLAIN: dict[str, object] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": BPE,
}


def added(token: str, id: int) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": token, "special": True, **flags}


def write(folder: Path, **changes: object) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps({**PLAIN, **changes}), "utf-8")
    return folder


def refuse(folder: Path, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        AutoTokenizer.from_pretrained(folder)
    assert isinstance(caught.value, HfError)
    assert str(folder) in str(caught.value), "errors name the file"


def test_no_files(tmp_path: Path) -> None:
    refuse(tmp_path, TokenizerFilesError, "has none of tokenizer.json, tekken.json")
    with pytest.raises(FileNotFoundError):
        AutoTokenizer.from_pretrained(tmp_path)


def test_half_a_file(tmp_path: Path) -> None:
    text = json.dumps(PLAIN)
    (tmp_path / "tokenizer.json").write_text(text[: len(text) // 2])
    refuse(tmp_path, JsonFileError, "tokenizer.json is not valid JSON")


def test_half_a_configuration(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": ')
    refuse(tmp_path, JsonFileError, "tokenizer_config.json is not valid JSON")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("normalizer", {"type": "Upside"}, "the normalizer type 'Upside' is unknown"),
        (
            "pre_tokenizer",
            {"type": "Sequence", "pretokenizers": [{"type": "No"}]},
            "the pre_tokenizer type 'No' is",
        ),
        ("decoder", {"type": "No"}, "the decoder type 'No' is unknown"),
        ("post_processor", {"type": "No"}, "the post_processor type 'No' is unknown"),
        (
            "model",
            {"type": "No"},
            r"the model type 'No' is unknown \(known: BPE, Unigram, WordLevel, WordPiece\)",
        ),
        ("model", {**BPE, "merges": [["a", "c"]]}, r"merge 0, 'a' \+ 'c', needs 'c', which has no id"),
        ("model", {**BPE, "merges": ["a b", "ab a"]}, "merge 1, 'ab' \\+ 'a', needs 'aba'"),
        ("model", {**BPE, "vocab": {"a": 0, "b": -1}, "merges": []}, "the vocabulary gives 'b' the id -1"),
        ("model", {"type": "BPE"}, "the model has no vocabulary"),
        ("model", None, "has no model"),
    ],
)
def test_parts_that_cannot_be_right(tmp_path: Path, part: str, value: object, message: str) -> None:
    refuse(write(tmp_path, **{part: value}), TokenizerFileError, message)


def test_added_tokens_keep_their_ids_behind_a_hole(tmp_path: Path) -> None:
    # The engine by itself would number <x> 3 and <y> 4, in silence.
    write(tmp_path, added_tokens=[added("<x>", 20), added("<y>", 21)])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("ab<x><y>")["input_ids"] == [2, 20, 21]
    assert tokenizer.decode([2, 20]) == "ab <x>"
    with pytest.raises(IndexError, match="id 10 at position 0 is outside the vocabulary of 5 tokens"):
        tokenizer.convert_ids_to_tokens(10)


def test_added_tokens_that_collide(tmp_path: Path) -> None:
    write(tmp_path, added_tokens=[added("<x>", 1)])
    refuse(tmp_path, ContradictionError, r"gives id 1 to the added token '<x>' and to 'b' in its vocabulary")


def test_contradicting_added_tokens_name_both_files(tmp_path: Path) -> None:
    write(tmp_path, added_tokens=[added("<x>", 3)])
    config = {"added_tokens_decoder": {"7": {"content": "<x>", "special": True}}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ContradictionError, match="gives '<x>' id 7") as caught:
        AutoTokenizer.from_pretrained(tmp_path)
    assert [Path(file).name for file in caught.value.files] == ["tokenizer_config.json", "tokenizer.json"]
    assert AutoTokenizer.from_pretrained(tmp_path, contradictions="ignore").convert_tokens_to_ids("<x>") == 3


def test_a_vocabulary_larger_than_the_model(tmp_path: Path) -> None:
    write(tmp_path, added_tokens=[added("<x>", 3)])
    (tmp_path / "config.json").write_text('{"vocab_size": 3}')
    refuse(tmp_path, ContradictionError, r"config.json has vocab_size 3 and .*tokenizer.json has 4 tokens")
    (tmp_path / "config.json").write_text('{"text_config": {"vocab_size": 4}}')
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == 4


def test_a_class_of_another_kind(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizerFast"}')
    refuse(tmp_path, ContradictionError, "names BertTokenizer, a WordPiece tokenizer, and ")
    assert AutoTokenizer.from_pretrained(tmp_path, contradictions="ignore").model_kind == "BPE"


def test_class_names_change_nothing_where_tokenizer_json_is(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("LlamaTokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "SomethingElse"):
        (tmp_path / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": name, "tokenizer_file": None})
        )
        assert AutoTokenizer.from_pretrained(tmp_path)("ab a")["input_ids"] == [2, 0]


def test_a_stale_vocabulary_beside(tmp_path: Path, folder_of: FolderOf) -> None:
    shutil.copytree(folder_of("wordpiece"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nold\n")
    refuse(
        tmp_path,
        ContradictionError,
        r"vocab.txt has 3 tokens and .*tokenizer.json has \d+ and \d+ added ones",
    )


def test_a_stale_tokenizer_json_after_saving_from_vocab_json(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({chr(0x4E00 + n): n for n in range(50)}))
    AutoTokenizer.from_pretrained(tmp_path)  # nothing says that vocab.json is in use
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_file": null}')
    refuse(
        tmp_path, ContradictionError, r"vocab.json has 50 tokens and .*tokenizer.json has 3 and 0 added ones"
    )


def test_vocab_txt_with_holes_repeats_and_wrong_bytes(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n\nab\n")
    refuse(tmp_path, VocabularyHoleError, "line 3 of .*vocab.txt is empty, so no token has id 2")
    path.write_text("[PAD]\n[UNK]\nab\nab\n")
    refuse(tmp_path, TokenizerFileError, "has 'ab' on lines 3 and 4")
    path.write_bytes(b"[PAD]\n[UNK]\nab\xff\n")
    refuse(tmp_path, TokenizerFileError, "line 3 of .*vocab.txt is not UTF-8: byte 14 is 0xff")


def test_vocab_json_and_merges(tmp_path: Path) -> None:
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    vocab.write_text('{"a": 0, "b": 1, "ab": 2}')
    merges.write_text("#version: 0.2\na b\nb c\n")
    refuse(tmp_path, TokenizerFileError, "line 3 of .*merges.txt, 'b c', needs 'c', which has no id")
    merges.write_text("a b c\n")
    refuse(tmp_path, TokenizerFileError, "line 1 of .*merges.txt is 'a b c', not two tokens")
    merges.write_bytes(b"a \xff\n")
    refuse(tmp_path, TokenizerFileError, "merges.txt is not UTF-8: byte 2 is 0xff")
    merges.write_text("a b\n")
    vocab.write_text('{"a": 0, "b": 0}')
    refuse(tmp_path, TokenizerFileError, "gives id 0 to 'a' and to 'b'")
    vocab.write_text('{"a": "0"}')
    refuse(tmp_path, TokenizerFileError, "gives 'a' the id '0'")


def test_tiktoken_files(tmp_path: Path) -> None:
    path = tmp_path / "x.tiktoken"
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    path.write_text("\n".join(lines))
    assert AutoTokenizer.from_pretrained(tmp_path)("hi")["input_ids"] == [104, 105]
    path.write_text("\n".join([*lines, "YWI= 300"]))
    refuse(tmp_path, VocabularyHoleError, "has 257 tokens and none of rank 256")
    path.write_text("\n".join([*lines, "??? 256"]))
    refuse(tmp_path, TokenizerFileError, r"line 257 of .*x.tiktoken is b'\?\?\? 256', not a base64 token")


def test_tekken_files(tmp_path: Path) -> None:
    path = tmp_path / "tekken.json"
    path.write_text("{}")
    refuse(tmp_path, TokenizerFileError, "has no config and vocab, so it is not a tekken file")
    path.write_text('{"config": {}, "vocab": [{"rank": 0}]}')
    refuse(tmp_path, TokenizerFileError, "has the vocabulary entry .*, without token_bytes and rank")
    path.write_text('{"config": {"pattern": "("}, "vocab": [{"rank": 0, "token_bytes": "YQ=="}]}')
    refuse(tmp_path, TokenizerFileError, "the pattern of .*tekken.json is not a regular expression")


@pytest.mark.parametrize(
    "data", [b"", b"\x0a\xff", b"\x0a\x05abc", b"\xff" * 20, b"not a model", b"\x0b\x00"]
)
def test_sentencepiece_files_that_are_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    refuse(tmp_path, TokenizerFileError, r"tokenizer\.model (is not a SentencePiece model|has no pieces)")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"padding_side": "top"}, "padding_side in .*tokenizer_config.json is 'top', not 'left' or 'right'"),
        ({"model_max_length": "long"}, "model_max_length in .* is 'long', not a number of tokens"),
        ({"model_max_length": -4}, "model_max_length in .* is -4"),
        ({"chat_template": 3}, "chat_template in .* is '3'"),
        ({"chat_template": [{"name": "x"}]}, "chat_template in "),
        ({"bos_token": {"lstrip": True}}, "bos_token in .* holds .*, which is not a token"),
        ({"additional_special_tokens": [3]}, "extra special tokens in .* holds '3', which is not a token"),
        ({"added_tokens_decoder": {"3": "x", "y": "z"}}, "added_tokens_decoder in .* has the key 'y'"),
    ],
)
def test_configurations_that_cannot_be_right(tmp_path: Path, config: object, message: str) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    refuse(tmp_path, TokenizerFileError, message)


def test_unknown_options_when_loading(tmp_path: Path) -> None:
    with pytest.raises(UnknownOptionError, match="no option 'use_fast'"):
        AutoTokenizer.from_pretrained(write(tmp_path), use_fast=True)  # type: ignore[call-arg]  # the mistake is the point


def test_there_are_no_objects_of_autotokenizer() -> None:
    with pytest.raises(TypeError, match=r"AutoTokenizer.from_pretrained"):
        AutoTokenizer()
