"""Text that is not text, and ids that are not ids: the exact complaint."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hf_tokenize import PreTrainedTokenizer
from hf_tokenize.errors import OptionError, TextEncodingError, TextInputError, TokenIdError

Get = Callable[[str], PreTrainedTokenizer]


def test_lone_surrogates_name_the_character(each: PreTrainedTokenizer) -> None:
    if each.model_kind == "CodePoints":
        assert each("a\ud800")["input_ids"][2] == 0xD800, "a code point like any other to this model"
        return
    with pytest.raises(TextEncodingError, match=r"character 2 is '\\ud800', half of a surrogate pair"):
        each("ab\ud800c")
    with pytest.raises(TextEncodingError, match=r"text 1 is not valid Unicode: character 0"):
        each(["fine", "\udfff"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"bytes", "text is bytes, which must be decoded first"),
        (3, "text is a int"),
        ({"a": 1}, "text is a dict"),
        (["ok", None], "text 1 is None"),
        (["ok", b"x"], "text 1 is bytes"),
        ([["a", "b"]], r"the text is a list of 2, neither a text nor a pair"),
        (None, "text is None"),
    ],
)
def test_what_is_not_text(each: PreTrainedTokenizer, text: object, message: str) -> None:
    if each.model_kind in ("Bytes", "CodePoints") and text == [["a", "b"]]:
        pytest.skip("read as words by engines without a vocabulary")
    with pytest.raises(TextInputError, match=message):
        each(text)  # type: ignore[call-overload]  # the mistake is the point


def test_batches_that_do_not_match(get: Get) -> None:
    tokenizer = get("wordpiece")
    with pytest.raises(TextInputError, match="a batch of 2 texts was given with 1 second texts"):
        tokenizer(["a", "b"], ["c"])
    with pytest.raises(TextInputError, match="one text was given with a text_pair of type list"):
        tokenizer("a", ["c"])


def test_words_that_are_none(get: Get) -> None:
    pytest.importorskip("numpy", reason="the engine takes word lists by way of numpy")
    tokenizer = get("wordpiece")
    with pytest.raises(
        TextInputError, match="is a str, and is_split_into_words=True asks for a list of words"
    ):
        tokenizer([["a"], "b c"], is_split_into_words=True)  # type: ignore[arg-type]  # the mistake is the point
    with pytest.raises(TextInputError, match=r"word 1 of the text is a int \('3'\)"):
        tokenizer(["a", 3], is_split_into_words=True)  # type: ignore[arg-type]  # as above


def test_empty_batches_are_empty(each: PreTrainedTokenizer) -> None:
    assert each([])["input_ids"] == []
    assert each.batch_decode([]) == []


def test_rows_of_different_lengths_are_no_tensor(get: Get) -> None:
    with pytest.raises(OptionError, match=r"rows of 3 to \d+ tokens cannot be one tensor"):
        get("wordpiece")(["a", "the quick brown fox"], return_tensors="np")
    with pytest.raises(OptionError, match="return_tensors='tf' is unknown"):
        get("wordpiece")(["a"], return_tensors="tf")  # type: ignore[call-overload]  # the mistake is the point


def test_nul_and_control_characters_are_text(each: PreTrainedTokenizer) -> None:
    for text in ("\x00", "a\x00b", "\x01\x02", "\ufeffa", "\u200d"):
        assert isinstance(each(text)["input_ids"], list)


def test_a_word_of_ten_megabytes(each: PreTrainedTokenizer) -> None:
    size = 10_000_000 if each.model_kind in ("WordPiece", "WordLevel") else 1_000_000
    started = time.monotonic()
    ids = each("x" * size, truncation=True, max_length=8)["input_ids"]
    assert len(ids) <= 8
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("bad", [-1, 10**6, 2**40, -(2**70)])
def test_ids_out_of_range_name_id_position_and_size(each: PreTrainedTokenizer, bad: int) -> None:
    if each.model_kind == "CodePoints" and bad == 10**6:
        bad = 0x110000
    good = each("a", add_special_tokens=False)["input_ids"][0]
    with pytest.raises(
        TokenIdError, match=rf"id {bad} at position 1 is outside the vocabulary of {len(each)} tokens"
    ):
        each.decode([good, bad])
    with pytest.raises(TokenIdError, match=rf"id {bad} at position 0 of row 1"):
        each.batch_decode([[good], [bad]])
    with pytest.raises(TokenIdError, match="at position 2"):
        each.convert_ids_to_tokens([good, good, bad])
    with pytest.raises(IndexError):
        each.convert_ids_to_tokens(bad)


def test_ids_that_are_not_numbers(get: Get) -> None:
    with pytest.raises(TokenIdError, match="position 1 holds 'x', which is not a token id"):
        get("byte-level").decode([5, "x"])  # type: ignore[list-item]  # the mistake is the point


def test_unknown_tokens_need_an_unknown_token(get: Get) -> None:
    with pytest.raises(
        TokenIdError, match=r"'<nope>' is not in the vocabulary, and this tokenizer has no unknown token"
    ):
        get("byte-level").convert_tokens_to_ids("<nope>")
    assert get("wordpiece").convert_tokens_to_ids(["<nope>"]) == [1]
