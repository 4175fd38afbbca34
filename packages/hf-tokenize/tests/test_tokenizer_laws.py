"""Laws that hold for every tokenizer and every text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_tokenize import PreTrainedTokenizer

Get = Callable[[str], PreTrainedTokenizer]
KINDS = ("byte-level", "llama3", "llama2", "unigram", "wordpiece", "bytes", "code points")
LOSSLESS = ("byte-level", "llama3", "llama2", "bytes", "code points")

# Words between spaces with all that breaks tokenizers in between: that is what takes the paths through memory too.
words = st.one_of(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyzABC0123456789.,!?'-_", min_size=1, max_size=9),
    st.text(max_size=6),
    st.sampled_from(
        [
            "e\u0301",
            "日本",
            "🙂",
            "👩‍👩‍👧",
            "\u0300",
            "▁",
            "<|end|>",
            "[SEP]",
            "</s>",
            "\n",
            "\t",
            "  ",
            "don't",
            "ﬁ",
            "İ",
        ]
    ),
)
texts = st.lists(words, max_size=9).map(" ".join)
few = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
many = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))


def check_one(tokenizer: PreTrainedTokenizer, text: str, *, lossless: bool) -> None:
    plain = tokenizer(text)
    detailed = tokenizer(text, return_offsets_mapping=True)
    ids = plain["input_ids"]
    assert ids == detailed["input_ids"], "the way through memory, and the engine"
    assert tokenizer([text, "x", text])["input_ids"][2] == ids, "one by one, and in a batch"
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    if lossless:
        assert tokenizer.decode(bare) == text
    encoding = detailed[0]
    for token, (start, stop) in enumerate(encoding.offsets):
        assert 0 <= start <= stop <= len(text)
        surface, name = text[start:stop], encoding.tokens[token]
        if (
            encoding.sequence_ids[token] is not None
            and name.isascii()
            and name.isalnum()
            and surface.isascii()
        ):
            # WordPiece's clean-up takes control characters out of the middle of a word.
            shown = "".join(filter(str.isprintable, surface))
            assert shown.strip().lower() == name.lower(), "offsets slice back to the text"
    stream = tokenizer.stream()
    assert "".join([*(stream.push(id) for id in ids), stream.end()]) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=texts)
def test_laws(get: Get, kind: str, text: str) -> None:
    lossless = kind in LOSSLESS and not (kind == "llama2" and ("▁" in text or "</s>" in text))
    if kind == "bytes":
        lossless = not any(token in text for token in ("<pad>", "</s>", "<unk>"))
    check_one(get(kind), text, lossless=lossless)


@pytest.mark.parametrize("kind", KINDS)
def test_characters_that_normalise_to_spaces(get: Get, kind: str) -> None:
    held = [chr(code) for code in range(0x80, 0x10000) if " " in unicodedata.normalize("NFKD", chr(code))]
    for character in filter(str.isprintable, held):
        check_one(get(kind), f"0 {character} x{character}", lossless=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@many
@given(text=texts)
def test_laws_at_length(get: Get, kind: str, text: str) -> None:
    check_one(get(kind), text, lossless=False)


@pytest.mark.parametrize("kind", KINDS)
@few
@given(ids=st.lists(st.integers(0, 149), max_size=30))
def test_streams_are_decoding_for_any_ids(get: Get, kind: str, ids: list[int]) -> None:
    tokenizer = get(kind)
    for skip in (False, True):
        stream = tokenizer.stream(skip_special_tokens=skip)
        parts = [stream.push(id) for id in ids]
        assert "".join([*parts, stream.end()]) == tokenizer.decode(ids, skip_special_tokens=skip)
        assert stream.end() == "", "an ended stream is empty"


@pytest.mark.parametrize("kind", KINDS)
@few
@given(rows=st.lists(st.lists(st.integers(0, 149), max_size=12), max_size=4))
def test_batches_decode_like_rows(get: Get, kind: str, rows: list[list[int]]) -> None:
    tokenizer = get(kind)
    assert tokenizer.batch_decode(rows) == [tokenizer.decode(row) for row in rows]


def test_a_stream_never_shows_half_a_character(get: Get) -> None:
    tokenizer = get("bytes")
    stream = tokenizer.stream()
    shown = [stream.push(id) for id in tokenizer("a🙂é", add_special_tokens=False)["input_ids"]]
    assert shown == ["a", "", "", "", "🙂", "", "é"]


def test_streams_of_a_batch_are_apart(get: Get) -> None:
    tokenizer = get("llama3")
    texts = ["the fox 🙂", "日本 words", "", "a"]
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    streams = tokenizer.streams(len(rows))
    shown = [""] * len(rows)
    for step in range(max(map(len, rows))):
        for at, row in enumerate(rows):
            if step < len(row):
                shown[at] += streams[at].push(row[step])
    assert [text + stream.end() for text, stream in zip(shown, streams, strict=True)] == texts


def test_normal_forms_are_the_tokenizers_own_business(get: Get) -> None:
    tokenizer = get("unigram")
    for text in ("ﬁ", "Ⅷ", "e\u0301"):
        assert tokenizer(text)["input_ids"] == tokenizer(unicodedata.normalize("NFKC", text))["input_ids"]
