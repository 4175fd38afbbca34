"""The engine and the readable reference agree on random vocabularies and texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from hf_tokenize.reference import Bpe, Unigram, WordPiece

LETTERS = "abcd"
word = st.text(alphabet=LETTERS + "xé", min_size=1, max_size=14)
steps = settings(max_examples=400, deadline=None)


@st.composite
def bpes(draw: st.DrawFn) -> Bpe:
    """A vocabulary grown by random merges of what is there, as training grows one."""
    tokens = list(LETTERS)
    merges: list[tuple[str, str]] = []
    for _ in range(draw(st.integers(0, 14))):
        pair = draw(st.tuples(st.sampled_from(tokens), st.sampled_from(tokens)))
        if pair not in merges:
            merges.append(pair)
            if pair[0] + pair[1] not in tokens:
                tokens.append(pair[0] + pair[1])
    in_bytes = [f"<0x{byte:02X}>" for byte in range(256)] if draw(st.booleans()) else []
    unk = ["<unk>"] if draw(st.booleans()) else []
    vocab = {token: id for id, token in enumerate([*unk, *tokens, *in_bytes])}
    return Bpe(
        vocab=vocab,
        merges=merges,
        unk="<unk>" if unk else None,
        fuse_unk=draw(st.booleans()),
        byte_fallback=bool(in_bytes),
    )


@steps
@given(bpes(), word)
def test_bpe(reference: Bpe, text: str) -> None:
    model = models.BPE(
        vocab=dict(reference.vocab),
        merges=list(reference.merges),
        unk_token=reference.unk,
        fuse_unk=reference.fuse_unk,
        byte_fallback=reference.byte_fallback,
    )
    assert reference.encode(text) == Tokenizer(model).encode(text).ids


def test_bpe_with_word_ends() -> None:
    vocab = {token: id for id, token in enumerate(["a", "b", "b</w>", "ab</w>"])}
    reference = Bpe(vocab=vocab, merges=[("a", "b</w>")], word_end="</w>")
    assert reference.tokenize("aab") == ["a", "ab</w>"]


pieces = st.lists(st.text(alphabet=LETTERS, min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


@steps
@given(pieces, word)
def test_wordpiece(parts: list[str], text: str) -> None:
    tokens = ["[UNK]", *dict.fromkeys([*parts[::2], *(f"##{part}" for part in parts)])]
    vocab = {token: id for id, token in enumerate(tokens)}
    model = models.WordPiece(vocab=vocab, unk_token="[UNK]", max_input_chars_per_word=12)
    assert WordPiece(vocab=vocab, longest=12).encode(text) == Tokenizer(model).encode(text).ids


@steps
@given(pieces, st.data(), word, st.booleans())
def test_unigram(parts: list[str], data: st.DataObject, text: str, byte_fallback: bool) -> None:
    # Powers of two that differ by place make sums unique, so that there are no ties to break.
    order = data.draw(st.permutations(range(1, len(parts) + 1)))
    scored = [
        ("<unk>", 0.0),
        *((part, -float(2**place) / 64) for part, place in zip(parts, order, strict=True)),
    ]
    if byte_fallback:
        scored += [(f"<0x{byte:02X}>", -1000.0) for byte in range(256)]
    model = models.Unigram(scored, 0, byte_fallback)
    reference = Unigram(pieces=scored, unk_id=0, byte_fallback=byte_fallback)
    found, wanted = reference.encode(text), Tokenizer(model).encode(text).ids
    if found != wanted:  # sums of one piece taken several times can still tie
        score = dict(enumerate(value for _, value in scored))
        assert sum(score[id] for id in found) == pytest.approx(sum(score[id] for id in wanted))
