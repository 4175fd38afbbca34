"""Does white space always end a token? Read off the parts of an engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hf_hub_io import JsonValue
from hf_tokenize.patterns import SPACE_LEADS

_META: Final = "▁"


@dataclass(frozen=True, kw_only=True, slots=True)
class Separation:
    """How a text may be taken apart at single spaces.

    `spaced`: words keep the space before them. `strange`: a text with this character may not be taken apart.
    `spreads`: nor may one with a character that normalisation turns into a space and something more (`SPREADING`).
    `folds_case`: added tokens may also match in another case.
    """

    spaced: bool
    strange: str | None = None
    spreads: bool = False
    folds_case: bool = False


SPREADING: Final = re.compile(
    "[\u00a8\u00af\u00b4\u00b8\u02d8-\u02dd\u037a\u0384\u0385\u1fbd\u1fbf-\u1fc1\u1fcd-\u1fcf\u1fdd-\u1fdf\u1fed\u1fee"
    "\u1ffd\u1ffe\u2017\u203e\u309b\u309c\ufc5e-\ufc63\ufdfa\ufdfb\ufe49-\ufe4c\ufe70\ufe72\ufe74\ufe76\ufe78\ufe7a"
    "\ufe7c\ufe7e\uffe3]"
)
"""The printable characters whose compatibility decomposition holds a space, such as the spacing diaeresis."""
_COMPATIBILITY: Final = frozenset({"NFKC", "NFKD", "Precompiled"})


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
    first = splits[0].get("type") if splits else None
    if first in _SPLITS_AT_SPACE and kinds <= _LOCAL_NORMALIZERS | {"Replace"} and _harmless(changes):
        if any(split.get("type") == "Metaspace" for split in splits):
            return Separation(spaced=False, strange=_META, folds_case=folds)
        return Separation(spaced=False, folds_case=folds)
    if splits and splits[-1].get("type") == "ByteLevel":
        if kinds <= _LOCAL_NORMALIZERS and all(map(_is_byte_level_part, splits)) and _has_pattern(splits):
            return Separation(spaced=True, folds_case=folds)
        return None
    if not _marks_words(changes, splits) or not _harmless(changes):
        return None
    if any(_META in token.lstrip(_META) for token in tokens):
        return None  # a token may reach from one word into the next
    spaced, spreads = not _prefixes(changes, splits), bool(kinds & _COMPATIBILITY)
    return Separation(spaced=spaced, strange=_META, spreads=spreads, folds_case=folds)


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
