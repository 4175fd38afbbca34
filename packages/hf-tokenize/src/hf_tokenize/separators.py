"""Does white space always end a token? Read off the parts of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from hf_hub_io import JsonValue
from hf_tokenize.patterns import SPACE_LEADS

_META: Final = "▁"


@dataclass(frozen=True, kw_only=True, slots=True)
class Separation:
    """How a text may be taken apart at single spaces.

    `spaced`: words keep the space before them. `strange`: a text with this character may not be taken apart.
    `folds_case`: added tokens may also match in another case. `only`: which texts may be taken apart at all; where
    compatibility forms are replaced, some become spaces (a macron is a space with a mark).
    """

    spaced: bool
    only: Literal["any", "compatible", "ascii"] = "any"
    strange: str | None = None
    folds_case: bool = False


_SPLITS_AT_SPACE: Final = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_LOCAL_NORMALIZERS: Final = frozenset(
    {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "StripAccents"}
)
_LOCAL_SPLITS: Final = frozenset({"Digits", "Punctuation", "UnicodeScripts"})


def find_separation(
    normalizer: JsonValue, pre_tokenizer: JsonValue, tokens: Iterable[str], *, normalized_tokens: bool
) -> Separation | None:
    """How spaces separate in an engine with these parts; None where they may not.

    `tokens` is the vocabulary, looked at only where the model itself must not have tokens across words.
    `normalized_tokens`: some added tokens are looked for in normalised text.
    """
    changes = _flatten(normalizer, "normalizers")
    splits = _flatten(pre_tokenizer, "pretokenizers")
    kinds = {str(change.get("type")) for change in changes}
    if normalized_tokens and kinds - {"Prepend", "Replace", "Lowercase", "BertNormalizer"}:
        return None  # a token might appear only in normalised text
    folds = normalized_tokens
    only = _only(kinds)
    first = splits[0].get("type") if splits else None
    if first in _SPLITS_AT_SPACE and kinds <= _LOCAL_NORMALIZERS | {"Replace"} and _harmless(changes):
        if any(split.get("type") == "Metaspace" for split in splits):
            return Separation(spaced=False, only=only, strange=_META, folds_case=folds)
        return Separation(spaced=False, only=only, folds_case=folds)
    if splits and splits[-1].get("type") == "ByteLevel":
        if kinds <= _LOCAL_NORMALIZERS and all(map(_is_byte_level_part, splits)) and _has_pattern(splits):
            return Separation(spaced=True, only=only, folds_case=folds)
        return None
    if not _marks_words(changes, splits) or not _harmless(changes):
        return None
    if any(_META in token.lstrip(_META) for token in tokens):
        return None  # a token may reach from one word into the next
    spaced = not _prefixes(changes, splits)
    return Separation(spaced=spaced, only=only, strange=_META, folds_case=folds)


def _only(kinds: set[str]) -> Literal["any", "compatible", "ascii"]:
    # Tables of SentencePiece make spaces of more characters than Unicode does.
    if kinds & {"Precompiled", "Nmt"}:
        return "ascii"
    return "compatible" if kinds & {"NFKC", "NFKD"} else "any"


def _flatten(value: JsonValue, key: str) -> list[Mapping[str, JsonValue]]:
    if not isinstance(value, dict):
        return []
    children = value.get(key)
    if value.get("type") == "Sequence" and isinstance(children, list):
        return [part for child in children for part in _flatten(child, key)]
    return [value]


def _has_pattern(splits: list[Mapping[str, JsonValue]]) -> bool:
    """Whether something cuts text into words: a byte-level pre-tokeniser by itself need not."""
    return splits[-1].get("use_regex") is not False or any(split.get("type") == "Split" for split in splits)


def _is_byte_level_part(split: Mapping[str, JsonValue]) -> bool:
    if split.get("type") == "Split":
        pattern = split.get("pattern")
        known = isinstance(pattern, dict) and pattern.get("Regex") in SPACE_LEADS
        return known and split.get("behavior") == "Isolated" and split.get("invert") is False
    return split.get("type") == "ByteLevel" or split.get("type") in _LOCAL_SPLITS


def _harmless(changes: list[Mapping[str, JsonValue]]) -> bool:
    """Whether replacements look at spaces only to mark, trim or join them, or do not look at them at all."""
    for change in changes:
        if change.get("type") == "Prepend" and change.get("prepend") not in (" ", _META):
            return False
        if change.get("type") == "Replace":
            pattern = change.get("pattern")
            given = next(iter(pattern.values()), None) if isinstance(pattern, dict) else None
            if given not in _HARMLESS and not (isinstance(given, str) and _is_plain(given)):
                return False
    return True


_HARMLESS: Final = frozenset({" ", " {2,}", r"\A +", rf"[ {_META}]+\z", r"\A ", rf"\A{_META}", r"\s+"})


def _is_plain(pattern: str) -> bool:
    return len(pattern) <= 2 and not any(c.isspace() or c in r"\.[](){}*+?^$|" for c in pattern)


def _marks_words(changes: list[Mapping[str, JsonValue]], splits: list[Mapping[str, JsonValue]]) -> bool:
    """Whether spaces become the word mark, by a replacement or by Metaspace, and nothing else cuts text."""
    if {str(change.get("type")) for change in changes} - _LOCAL_NORMALIZERS - {"Replace", "Prepend"}:
        return False
    if len(splits) == 1 and splits[0].get("type") == "Metaspace":
        return splits[0].get("replacement") == _META
    replaced = any(change.get("type") == "Replace" and change.get("content") == _META for change in changes)
    return replaced and not splits


def _prefixes(changes: list[Mapping[str, JsonValue]], splits: list[Mapping[str, JsonValue]]) -> bool:
    """Whether a text without a space before it gets the mark all the same, so that words need no space."""
    if any(change.get("type") == "Prepend" for change in changes):
        return True
    return bool(splits) and splits[0].get("prepend_scheme") in ("always", "first")
