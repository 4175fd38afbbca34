"""What a tokenizer does to one text, step by step, as data: behind `hft tokenize` and the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers

from hf_tokenize.encoding import CharSpan
from hf_tokenize.engine import read_rust
from hf_tokenize.tokenizer import PreTrainedTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRow:
    """One token of an encoded text: where it stands, what it is, and the characters it stands for."""

    index: int
    id: int
    token: str
    span: CharSpan | None
    surface: str
    special: bool
    word: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """The intermediate results of encoding one text without added tokens in it.

    `words` are the pre-tokens with their places in the normalised text, `pieces` the subword tokens of each.
    """

    text: str
    normalized: str
    words: tuple[tuple[str, CharSpan], ...]
    pieces: tuple[tuple[str, ...], ...]
    ids: tuple[int, ...]
    with_special_tokens: tuple[TokenRow, ...]


def token_rows(
    tokenizer: PreTrainedTokenizer, text: str, *, add_special_tokens: bool = True
) -> tuple[TokenRow, ...]:
    """The tokens of `text`, one row each."""
    encoding = tokenizer(text, add_special_tokens=add_special_tokens, return_offsets_mapping=True)[0]
    special = set(tokenizer.all_special_ids)
    rows = []
    for index, id in enumerate(encoding.ids):
        span = encoding.token_to_chars(index)
        rows.append(
            TokenRow(
                index=index,
                id=id,
                token=encoding.tokens[index],
                span=span,
                surface="" if span is None else text[span.start : span.end],
                special=bool(encoding.special_tokens_mask[index]) or id in special,
                word=encoding.word_ids[index],
            )
        )
    return tuple(rows)


def steps(tokenizer: PreTrainedTokenizer, text: str) -> Steps:
    """The normalised text, the words, their pieces and the ids of `text`; the whole of what an engine does.

    Raises TypeError for a tokenizer without an engine of steps, such as one over bytes.
    """
    json = tokenizer.to_json()
    if json is None:
        raise TypeError(f"a tokenizer over {tokenizer.model_kind} has no steps between text and ids")
    rust = read_rust(json, source="this tokenizer")
    normalized = text if rust.normalizer is None else rust.normalizer.normalize_str(text)
    words = _words(rust, normalized)
    pieces = tuple(tuple(token.value for token in rust.model.tokenize(word)) for word, _ in words)
    return Steps(
        text=text,
        normalized=normalized,
        words=words,
        pieces=pieces,
        ids=tuple(_ids(tokenizer, pieces)),
        with_special_tokens=token_rows(tokenizer, text),
    )


def _words(rust: tokenizers.Tokenizer, normalized: str) -> tuple[tuple[str, CharSpan], ...]:
    if rust.pre_tokenizer is None:
        return ((normalized, CharSpan(0, len(normalized))),) if normalized else ()
    return tuple((word, CharSpan(*span)) for word, span in rust.pre_tokenizer.pre_tokenize_str(normalized))


def _ids(tokenizer: PreTrainedTokenizer, pieces: Sequence[Sequence[str]]) -> list[int]:
    return [tokenizer.convert_tokens_to_ids(piece) for word in pieces for piece in word]
