"""A `tokenizer.json` as an engine, checked where the engine itself would go wrong in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

import tokenizers

from hf_hub_io import JsonValue, parse_json_object
from hf_tokenize.engine import read_rust, to_rust
from hf_tokenize.errors import ContradictionError, TokenizerFileError
from hf_tokenize.load.diagnose import explain
from hf_tokenize.special import AddedToken

_ADDED: Final = re.compile(rb'"added_tokens"\s*:\s*(?=\[)')


def read_tokenizer_json(data: bytes, *, source: str) -> tokenizers.Tokenizer:
    """The engine that a `tokenizer.json` describes, with every added token at the id the file gives it.

    Raises TokenizerFileError, ContradictionError; JsonFileError for half a file.
    """
    try:
        rust = read_rust(data, source=source)
    except TokenizerFileError as error:
        raise explain(data, error, source=source) from None
    stated = _stated_ids(data)
    wrong = {token: id for token, id in stated.items() if rust.token_to_id(token) != id}
    if not wrong:
        return rust
    # The engine numbers added tokens from the end of the vocabulary and ignores the ids in the file, so
    # behind a hole every id is off. Tokens that stand in the model's own vocabulary keep their ids.
    rust = read_rust(_pin_ids(data, wrong, source=source), source=source)
    for token, id in stated.items():
        if (found := rust.token_to_id(token)) != id:
            raise ContradictionError(
                f"{source} gives the added token {token!r} id {id}, and its vocabulary gives it {found}",
                fix=f"correct added_tokens or model.vocab in {source}",
                files=(source,),
            )
    return rust


def _stated_ids(data: bytes) -> dict[str, int]:
    """Added tokens and their ids as written, without parsing the megabytes around them."""
    match = _ADDED.search(data)
    if match is None:
        return {}
    entries: JsonValue = json.JSONDecoder().raw_decode(data[match.end() :].decode("utf-8"))[0]
    found: dict[str, int] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            content, id = entry.get("content"), entry.get("id")
            if isinstance(content, str) and isinstance(id, int):
                found[content] = id
    return found


def _pin_ids(data: bytes, wrong: dict[str, int], *, source: str) -> str:
    document = parse_json_object(data, source=source)
    model = document["model"]
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict):
        token, id = next(iter(wrong.items()))
        raise ContradictionError(
            f"{source} gives the added token {token!r} id {id}, which does not follow on its vocabulary",
            fix=f"number the added_tokens in {source} from the size of its vocabulary on",
            files=(source,),
        )
    taken = {id: token for token, id in vocab.items()}
    for token, id in wrong.items():
        if id in taken and taken[id] != token:
            raise ContradictionError(
                f"{source} gives id {id} to the added token {token!r} and to {taken[id]!r} in its vocabulary",
                fix=f"correct added_tokens or model.vocab in {source}",
                files=(source,),
            )
        vocab[token] = id
    return json.dumps(document, ensure_ascii=False)


def add_missing(rust: tokenizers.Tokenizer, tokens: Sequence[AddedToken]) -> None:
    """Adds those of `tokens` that `rust` does not split text at yet; used before an engine is published."""
    known = {token.content for token in rust.get_added_tokens_decoder().values()}
    missing = {token.content: token for token in tokens if token.content not in known}
    if missing:
        rust.add_tokens([to_rust(token) for token in missing.values()])
