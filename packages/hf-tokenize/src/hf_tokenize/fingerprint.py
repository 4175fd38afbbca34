"""A short name for everything that decides which ids a text becomes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

from hf_hub_io import JsonValue, parse_json_object
from hf_tokenize.engine import Engine
from hf_tokenize.errors import FingerprintError

_PARTS: Final = ("normalizer", "pre_tokenizer", "model")
LENGTH: Final = 32


def fingerprint(engine: Engine) -> str:
    """32 hexadecimal digits over normaliser, pre-tokeniser, model and added tokens.

    Equal for tokenizers that give equal ids, however their files are written; roles, padding and templates of
    special tokens do not count.
    """
    digest = hashlib.sha256()
    text = engine.to_json()
    if text is None:
        digest.update(repr((engine.kind, sorted(engine.vocab().items()))).encode("utf-8"))
    else:
        document = parse_json_object(text, source="this tokenizer")
        for part in _PARTS:
            digest.update(json.dumps(_canonical(document.get(part)), sort_keys=True).encode("utf-8"))
    for id, token in sorted(engine.added_tokens().items()):
        flags = (token.single_word, token.lstrip, token.rstrip, token.normalized)
        digest.update(repr((id, token.content, flags)).encode("utf-8"))
    return digest.hexdigest()[:LENGTH]


def _canonical(value: JsonValue) -> JsonValue:
    """The value without what versions of the engine write differently: absent options, and merges as strings."""
    if isinstance(value, dict):
        kept = {
            key: _canonical(item) for key, item in value.items() if item is not None and item is not False
        }
        merges = value.get("merges")
        if isinstance(merges, list):
            kept["merges"] = [list(merge.split(" ")) if isinstance(merge, str) else merge for merge in merges]
        return kept
    if isinstance(value, list):
        return [_canonical(item) if isinstance(item, dict | list | float) else item for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")  # reading and writing scores moves their last digits
    return value


def check_fingerprint(found: str, recorded: str, *, where: str) -> None:
    """Refuses a tokenizer that is not the one `where` was made with. Raises FingerprintError."""
    if found != recorded:
        raise FingerprintError(
            f"{where} was made with the tokenizer {recorded}, and this one is {found}: ids would mean other tokens",
            fix="use the tokenizer it was saved with, or delete the record if the change was meant",
        )


def short(texts: Iterable[bytes]) -> str:
    """A fingerprint of file contents."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:LENGTH]
