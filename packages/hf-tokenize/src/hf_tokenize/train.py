"""A new vocabulary for other text, with everything else of a tokenizer kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import tokenizers
from tokenizers import pre_tokenizers, trainers

from hf_hub_io import JsonValue, parse_json_object
from hf_tokenize.engine import RustEngine, read_rust, to_rust
from hf_tokenize.errors import TokenizeError
from hf_tokenize.special import AddedToken


def train_engine(
    text: str | None,
    texts: Iterable[str] | Iterable[Sequence[str]],
    vocab_size: int,
    *,
    new_special_tokens: Sequence[str],
    renamed: Mapping[str, str],
    added: Mapping[int, AddedToken],
    length: int | None,
) -> RustEngine:
    """The engine of `tokenizer.json` text, trained anew on `texts` to at most `vocab_size` tokens.

    `renamed` gives special tokens other spellings. Special tokens come first in the new vocabulary. Raises
    TokenizeError for an engine that cannot be trained.
    """
    if text is None:
        raise TokenizeError(
            "this tokenizer has no vocabulary to train", fix="start from one with a tokenizer.json"
        )
    document = parse_json_object(text, source="this tokenizer")
    model = document["model"]
    if not isinstance(model, dict):
        raise TokenizeError("this tokenizer has no model to train")
    post_processor = document.pop("post_processor", None)
    document["added_tokens"] = []
    unigram_unk = _empty(model, renamed)
    special = [
        _renamed(token, renamed) for token in added.values() if token.special or model["type"] == "Unigram"
    ]
    special += [AddedToken(content=token) for token in new_special_tokens]
    rust = read_rust(json.dumps(document), source="this tokenizer")
    trainer = _trainer(model, vocab_size, special, unigram_unk, byte_level=_is_byte_level(document))
    rust.train_from_iterator(cast("Iterator[str]", iter(texts)), trainer=trainer, length=length)
    if post_processor is not None:
        trained = parse_json_object(rust.to_str(), source="this tokenizer")
        trained["post_processor"] = _renumber(post_processor, rust, renamed)
        rust = read_rust(json.dumps(trained), source="this tokenizer")
    return RustEngine(rust)


def _renamed(token: AddedToken, renamed: Mapping[str, str]) -> AddedToken:
    return AddedToken(
        content=renamed.get(token.content, token.content),
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=token.special,
    )


def _empty(model: dict[str, JsonValue], renamed: Mapping[str, str]) -> str | None:
    """Takes the vocabulary out of a model; returns the unknown token of a Unigram model."""
    unk = model.get("unk_token")
    if isinstance(unk, str):
        model["unk_token"] = renamed.get(unk, unk)
    vocab, unk_id = model.get("vocab"), model.get("unk_id")
    if model["type"] == "Unigram" and isinstance(vocab, list):
        entry = vocab[unk_id] if isinstance(unk_id, int) else None
        name = str(entry[0]) if isinstance(entry, list) else None
        model["vocab"] = [] if name is None else [[renamed.get(name, name), 0.0]]
        model["unk_id"] = None if name is None else 0
        return None if name is None else renamed.get(name, name)
    model["vocab"] = {}
    if model["type"] == "BPE":
        model["merges"] = []
    return None


def _is_byte_level(document: Mapping[str, JsonValue]) -> bool:
    return '"ByteLevel"' in json.dumps([document.get("pre_tokenizer"), document.get("normalizer")])


def _trainer(
    model: Mapping[str, JsonValue],
    vocab_size: int,
    special: Sequence[AddedToken],
    unigram_unk: str | None,
    *,
    byte_level: bool,
) -> trainers.Trainer:
    tokens = [to_rust(token) for token in special]
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    match model["type"]:
        case "BPE":
            prefix, suffix = model.get("continuing_subword_prefix"), model.get("end_of_word_suffix")
            return trainers.BpeTrainer(
                vocab_size=vocab_size,
                special_tokens=tokens,
                initial_alphabet=alphabet,
                show_progress=False,
                continuing_subword_prefix=str(prefix or ""),
                end_of_word_suffix=str(suffix or ""),
            )
        case "Unigram":
            return trainers.UnigramTrainer(
                vocab_size=vocab_size,
                special_tokens=tokens,
                initial_alphabet=alphabet,
                unk_token=unigram_unk,
                show_progress=False,
            )
        case "WordPiece":
            return trainers.WordPieceTrainer(
                vocab_size=vocab_size,
                special_tokens=tokens,
                initial_alphabet=alphabet,
                continuing_subword_prefix=str(model.get("continuing_subword_prefix", "##")),
                show_progress=False,
            )
        case _:
            return trainers.WordLevelTrainer(
                vocab_size=vocab_size, special_tokens=tokens, show_progress=False
            )


def _renumber(value: JsonValue, rust: tokenizers.Tokenizer, renamed: Mapping[str, str]) -> JsonValue:
    """A post-processor with the tokens' new ids, wherever it names one."""
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int):
            token = renamed.get(value[0], value[0])
            return [token, _id(rust, token)]
        return [_renumber(item, rust, renamed) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(names := value.get("tokens"), list) and "ids" in value:
        tokens = [renamed.get(str(name), str(name)) for name in names]
        return {
            "id": renamed.get(str(value["id"]), value["id"]),
            "ids": [_id(rust, t) for t in tokens],
            "tokens": list(tokens),
        }
    if isinstance(inner := value.get("SpecialToken"), dict):
        return {"SpecialToken": {**inner, "id": renamed.get(str(inner["id"]), inner["id"])}}
    return {renamed.get(key, key): _renumber(item, rust, renamed) for key, item in value.items()}


def _id(rust: tokenizers.Tokenizer, token: str) -> int:
    found = rust.token_to_id(token)
    if found is None:
        raise TokenizeError(
            f"the template uses {token!r}, which the new vocabulary does not have",
            fix="give it in new_special_tokens",
        )
    return found
