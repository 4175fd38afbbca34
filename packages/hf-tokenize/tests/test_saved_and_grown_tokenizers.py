"""Saving, adding tokens, training anew, and the fingerprint that tells tokenizers apart."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hf_tokenize import AddedToken, AutoTokenizer, PreTrainedTokenizer
from hf_tokenize.errors import FingerprintError, TokenizeError
from hf_tokenize.fingerprint import check_fingerprint

Get = Callable[[str], PreTrainedTokenizer]
TEXTS = ["The quick brown fox", "it's <|end|> [SEP] </s> 12", "naïve 日本 🙂", "", " a  b\n"]


def test_saved_tokenizers_are_the_same(each: PreTrainedTokenizer, tmp_path: Path) -> None:
    written = each.save_pretrained(tmp_path)
    assert all(path.exists() for path in written)
    assert written[-1].name == "tokenizer_config.json", (
        "last, so that a half-written folder is not taken for a whole one"
    )
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == each(TEXTS)["input_ids"]
    assert again.special_tokens == each.special_tokens
    assert again.fingerprint() == each.fingerprint()
    assert (again.padding_side, again.model_max_length, again.model_input_names) == (
        each.padding_side,
        each.model_max_length,
        each.model_input_names,
    )
    second = tmp_path / "second"
    again.save_pretrained(second)
    for path in second.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), "saving again changes nothing"


@pytest.mark.parametrize("model_type", ["llama", "bert"])
def test_a_family_known_from_the_model_alone_promises_no_kind_of_vocabulary(
    model_type: str, tmp_path: Path
) -> None:
    """Any `tokenizer.json` may stand beside a model's config, and is itself again after saving."""
    words = {"[UNK]": 0, "the": 1, "fox": 2}
    rust = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert (
        AutoTokenizer.from_pretrained(tmp_path)("the fox")["input_ids"] == tokenizer("the fox")["input_ids"]
    )


def test_unknown_entries_survive_saving(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(folder_of("wordpiece"), tmp_path / "in")
    path = tmp_path / "in" / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "something_new": {"a": [1]}, "image_token": "[MASK]"}))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "in")
    assert tokenizer.special_tokens.named["image_token"] == "[MASK]"
    assert tokenizer.special_id("image_token") == tokenizer.mask_token_id
    tokenizer.save_pretrained(tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert saved["something_new"] == {"a": [1]}
    assert saved["image_token"] == "[MASK]"


def test_sections_of_the_file_are_kept_and_not_applied(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    import tokenizers

    rust = tokenizers.Tokenizer.from_file(str(folder_of("wordpiece") / "tokenizer.json"))
    rust.enable_truncation(5, stride=1, direction="left")
    rust.enable_padding(length=9, pad_token="[PAD]", direction="left", pad_to_multiple_of=3)
    rust.save(str(tmp_path / "tokenizer.json"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer("a b c d e f g h i j")["input_ids"]) > 9
    assert (tokenizer.padding_side, tokenizer.truncation_side, tokenizer.pad_token) == (
        "left",
        "left",
        "[PAD]",
    )
    tokenizer.save_pretrained(tmp_path / "out")
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert again.truncation == rust.truncation
    assert again.padding == rust.padding


def test_added_tokens_make_another_tokenizer(each: PreTrainedTokenizer) -> None:
    size = len(each)
    grown = each.add_tokens([AddedToken(content="<new>", special=False), "<other>"])
    assert len(each) == size
    assert each.convert_tokens_to_ids("a") == grown.convert_tokens_to_ids("a")
    assert grown.convert_tokens_to_ids("<new>") >= size - 1
    assert "<new>" in grown.tokenize("x<new>y")
    assert "<new>" not in each.tokenize("x<new>y")
    assert grown.fingerprint() != each.fingerprint()


def test_special_tokens_can_be_given_roles(each: PreTrainedTokenizer) -> None:
    grown = each.add_special_tokens(
        {"pad_token": "<my pad>", "image_token": "<img>", "extra_special_tokens": ["<e>"]}
    )
    assert grown.pad_token == "<my pad>"
    assert grown.special_id("image_token") == grown.convert_tokens_to_ids("<img>")
    ids = grown.encode("a<img>b<e>", add_special_tokens=False)
    assert {grown.special_id("image_token"), grown.convert_tokens_to_ids("<e>")} <= set(ids)
    shown = grown.decode(ids, skip_special_tokens=True)
    assert "<img>" not in shown
    assert "<e>" not in shown
    padded = grown(["a", "a b c"], padding=True)["input_ids"]
    assert grown.pad_token_id in padded[0]


def test_fifty_thousand_added_tokens_load_quickly(get: Get, tmp_path: Path) -> None:
    names = [f"<token {n}>" for n in range(50_000)]
    get("byte-level").add_tokens(names).save_pretrained(tmp_path)
    started = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert time.monotonic() - started < 8, "2 s on an idle machine, which tools/bench measures"
    assert tokenizer("<token 49999>")["input_ids"] == [tokenizer.convert_tokens_to_ids("<token 49999>")]


@pytest.mark.parametrize("kind", ["byte-level", "llama3", "llama2", "unigram", "wordpiece"])
def test_training_anew_keeps_all_but_the_vocabulary(get: Get, kind: str) -> None:
    tokenizer = get(kind)
    texts = ["un deux trois quatre cinq", "six sept huit neuf dix"] * 20
    old = tokenizer.special_tokens.all()[0]
    new = tokenizer.train_new_from_iterator(
        texts, 600, new_special_tokens=["<new>"], special_tokens_map={old: "<renamed>"}
    )
    assert len(new) <= 600
    assert len(new.tokenize("un deux trois")) <= len(tokenizer.tokenize("un deux trois"))
    assert "<new>" in new.all_special_tokens
    assert "<renamed>" in new.all_special_tokens
    assert old not in new.get_vocab()
    assert new.num_special_tokens_to_add() == tokenizer.num_special_tokens_to_add()
    assert new.decode(new.encode("six sept", add_special_tokens=False)) == "six sept"
    template = new.encode("un")
    assert all(0 <= id < len(new) for id in template)


def test_without_a_vocabulary_there_is_nothing_to_train(get: Get) -> None:
    with pytest.raises(TokenizeError, match="has no vocabulary to train"):
        get("bytes").train_new_from_iterator(["a"], 10)


def test_a_changed_file_is_noticed(get: Get, tmp_path: Path) -> None:
    get("unigram").save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, indent=1))
    AutoTokenizer.from_pretrained(tmp_path)  # written differently, and the same tokenizer
    document["normalizer"] = {"type": "NFD"}
    path.write_text(json.dumps(document))
    with pytest.raises(FingerprintError, match=r"was made with the tokenizer [0-9a-f]{32}, and this one is"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_fingerprints_are_checked_by_others_too(get: Get) -> None:
    mine = get("unigram").fingerprint()
    check_fingerprint(mine, mine, where="adapter_config.json")
    with pytest.raises(FingerprintError, match=r"adapter_config\.json was made with the tokenizer 0000"):
        check_fingerprint(mine, "0000", where="adapter_config.json")


def test_roles_do_not_change_the_fingerprint(get: Get) -> None:
    tokenizer = get("byte-level")
    assert (
        tokenizer.replace(pad_token="<|begin|>", padding_side="left").fingerprint() == tokenizer.fingerprint()
    )
