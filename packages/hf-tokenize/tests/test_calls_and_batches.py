"""What a call returns, for one text and for many, with and without options."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from hf_tokenize import BatchEncoding, CharSpan, PreTrainedTokenizer, TokenSpan
from hf_tokenize.errors import (
    DetailsError,
    FrozenTokenizerError,
    NoPadTokenError,
    TokenIdError,
    UnknownOptionError,
)

Get = Callable[[str], PreTrainedTokenizer]
TEXTS = ["The quick brown fox", "", "a", "it's 12,5 naïve 日本 🙂  two\nlines", " lead"]


def test_one_text_gives_flat_lists_and_many_give_rows(each: PreTrainedTokenizer) -> None:
    rows = each(TEXTS)["input_ids"]
    assert rows == [each(text)["input_ids"] for text in TEXTS]
    assert all(isinstance(id, int) for row in rows for id in row)


def test_what_a_batch_gives_does_not_depend_on_what_was_asked_before(each: PreTrainedTokenizer) -> None:
    # The second time, words come from memory; with offsets asked for, they never do.
    first = each(TEXTS)["input_ids"]
    assert each(TEXTS)["input_ids"] == first
    assert each(TEXTS, return_offsets_mapping=True)["input_ids"] == first


def test_padding_and_masks(get: Get) -> None:
    batch = get("wordpiece")(["the fox", "the quick brown fox"], padding=True)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert len(ids[0]) == len(ids[1])
    assert [id for id, real in zip(ids[0], mask[0], strict=True) if not real] == [0] * mask[0].count(0)
    left = get("llama3")(["the fox", "the quick brown fox"], padding=True)
    assert left["attention_mask"][0][0] == 0, "its configuration says left"
    assert get("llama3")(["a", "a b"], padding=True, padding_side="right")["attention_mask"][0][-1] == 0


def test_pad_to_multiple_and_max_length(get: Get) -> None:
    tokenizer = get("wordpiece")
    assert len(tokenizer("fox", padding="max_length", max_length=11)["input_ids"]) == 11
    assert len(tokenizer("fox", padding="max_length", max_length=11, pad_to_multiple_of=8)["input_ids"]) == 16
    assert len(tokenizer("fox", padding="max_length")["input_ids"]) == tokenizer.model_max_length


def test_pairs_have_types_and_sequences(get: Get) -> None:
    batch = get("wordpiece")("the fox", "a dog")
    assert 0 in batch["token_type_ids"]
    assert batch["token_type_ids"][-1] == 1
    assert batch.n_sequences == 2
    assert batch.sequence_ids()[0] is None
    assert batch.sequence_ids()[-2] == 1


def test_words_given_as_lists(get: Get) -> None:
    pytest.importorskip("numpy", reason="the engine takes word lists by way of numpy")
    tokenizer = get("wordpiece")
    batch = tokenizer(["The", "quickest", "fox"], is_split_into_words=True)
    words = [word for word in batch.word_ids() if word is not None]
    assert sorted(set(words)) == [0, 1, 2]
    assert tokenizer([["The", "fox"], ["A"]], is_split_into_words=True)["input_ids"] == [
        tokenizer(["The", "fox"], is_split_into_words=True)["input_ids"],
        tokenizer(["A"], is_split_into_words=True)["input_ids"],
    ]
    assert (
        tokenizer([("The", "fox")], is_split_into_words=True)["input_ids"][0]
        == tokenizer(["The", "fox"], is_split_into_words=True)["input_ids"]
    )


def test_places_of_tokens_words_and_characters(get: Get) -> None:
    text = "The fox jumps"
    batch = get("wordpiece")(text)
    token = batch.char_to_token(text.index("fox"))
    assert token is not None
    word = batch.token_to_word(token)
    assert word == 1
    assert batch.word_to_chars(word) == CharSpan(4, 7)
    span = batch.word_to_tokens(word)
    assert isinstance(span, TokenSpan)
    assert span.start <= token < span.end
    assert batch.char_to_word(3) is None, "white space belongs to no word"
    assert batch.token_to_chars(0) is None, "the template's tokens stand for no characters"
    assert batch.token_to_sequence(0, token) == 0
    assert batch[0].tokens == tuple(batch.tokens())


def test_a_batch_can_be_changed_pickled_and_passed_as_keywords(get: Get) -> None:
    batch = get("wordpiece")(["a fox", "dog"], padding=True)
    copy = pickle.loads(pickle.dumps(batch))
    assert dict(copy) == dict(batch)
    with pytest.raises(DetailsError, match="no longer knows its tokens"):
        copy.tokens()
    copy["labels"] = copy["input_ids"]
    assert set({**copy}) == {"input_ids", "token_type_ids", "attention_mask", "labels"}
    del copy["labels"]
    assert len(copy) == 3


def test_unknown_options_name_the_nearest(get: Get) -> None:
    with pytest.raises(UnknownOptionError, match=r"no option 'max_lenght'[\s\S]*did you mean max_length"):
        get("wordpiece")("a", max_lenght=3)  # type: ignore[call-overload]  # the mistake is the point
    with pytest.raises(TypeError):
        get("wordpiece")("a", max_lenght=3)  # type: ignore[call-overload]  # as above


def test_a_tokenizer_cannot_be_assigned_to(get: Get) -> None:
    tokenizer = get("byte-level")
    with pytest.raises(FrozenTokenizerError, match=r"tokenizer = tokenizer\.replace\(pad_token="):
        tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(AttributeError):
        tokenizer.anything = 1


def test_replace_gives_another_tokenizer(get: Get) -> None:
    tokenizer = get("byte-level")
    other = tokenizer.replace(pad_token="<|begin|>", padding_side="left", model_max_length=5)
    assert (tokenizer.pad_token_id, other.pad_token_id) == (1, 0)
    assert other(["a b", "a"], padding=True)["attention_mask"][1][0] == 0
    assert len(other("a b c d e f g h", truncation=True)["input_ids"]) == 5
    assert tokenizer.padding_side == "right"
    with pytest.raises(TokenIdError, match=r"pad_token='<nope>' is not in the vocabulary"):
        tokenizer.replace(pad_token="<nope>")
    with pytest.raises(UnknownOptionError, match="padding_side"):
        tokenizer.replace(padding_sides="left")  # type: ignore[call-arg]  # the mistake is the point


def test_padding_without_a_padding_token(get: Get) -> None:
    tokenizer = get("byte-level").replace(pad_token=None)
    with pytest.raises(NoPadTokenError, match=r"tokenizer\.replace\(pad_token=tokenizer\.eos_token\)"):
        tokenizer(["a", "a b"], padding=True)


def test_pad_puts_rows_together(get: Get) -> None:
    tokenizer = get("wordpiece")
    rows = [tokenizer("the quick fox"), tokenizer("dog")]
    padded = tokenizer.pad(rows)
    assert padded == tokenizer(["the quick fox", "dog"], padding=True)
    assert tokenizer.pad({"input_ids": [[5], [6, 7]], "labels": [1, 0]})["labels"] == [1, 0]
    assert tokenizer.pad({"input_ids": [5, 6]}, padding="max_length", max_length=4)["attention_mask"] == [
        1,
        1,
        0,
        0,
    ]
    with pytest.raises(ValueError, match="there is no input_ids to pad, only labels"):
        tokenizer.pad({"labels": [1]})


def test_targets_become_labels(get: Get) -> None:
    tokenizer = get("unigram")
    both = tokenizer("the fox", text_target="a dog")
    assert both["labels"] == tokenizer("a dog")["input_ids"]
    assert both["input_ids"] == tokenizer("the fox")["input_ids"]
    assert tokenizer(text_target=["a dog"])["input_ids"] == [tokenizer("a dog")["input_ids"]]


def test_special_tokens_in_text_can_be_text(get: Get) -> None:
    tokenizer = get("byte-level")
    assert tokenizer("a<|end|>b")["input_ids"].count(1) == 1
    assert 1 not in tokenizer("a<|end|>b", split_special_tokens=True)["input_ids"]
    always = tokenizer.replace(split_special_tokens=True)
    assert 1 not in always("a<|end|>b")["input_ids"]
    assert 1 in always("a<|end|>b", split_special_tokens=False)["input_ids"]


def test_lengths_and_special_masks(get: Get) -> None:
    batch = get("wordpiece")(["the fox", "a"], return_length=True, return_special_tokens_mask=True)
    lengths: object = batch["length"]
    assert lengths == [len(row) for row in batch["input_ids"]]
    assert batch["special_tokens_mask"][1][0] == 1
    assert batch["special_tokens_mask"][1][1] == 0


def test_vocabulary_and_conversion(each: PreTrainedTokenizer) -> None:
    ids = each("The fox", add_special_tokens=False)["input_ids"]
    tokens = each.convert_ids_to_tokens(ids)
    assert each.convert_tokens_to_ids(tokens) == ids
    assert each.tokenize("The fox") == tokens
    assert each.convert_ids_to_tokens(ids[0]) == tokens[0]
    assert set(each.all_special_ids) <= set(range(len(each)))
    assert each.num_special_tokens_to_add() == len(each("")["input_ids"])
    assert each.num_special_tokens_to_add(pair=True) == len(each("", "")["input_ids"])
    assert bool(each)


def test_a_batch_encoding_is_a_mapping() -> None:
    batch: BatchEncoding[list[int]] = BatchEncoding({"input_ids": [1, 2]})
    assert list(batch) == ["input_ids"]
    assert "input_ids" in batch
    assert batch.input_ids == [1, 2]
    assert repr(batch) == "BatchEncoding({'input_ids': [1, 2]})"
