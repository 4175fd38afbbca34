"""Why the engine refused a `tokenizer.json`, in words that name the part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hf_hub_io import JsonValue, parse_json_object
from hf_tokenize.errors import TokenizerFileError

_NORMALIZERS: Final = """
BertNormalizer ByteLevel Lowercase NFC NFD NFKC NFKD Nmt Precompiled Prepend Replace Sequence Strip
StripAccents
"""
_PRE_TOKENIZERS: Final = """
BertPreTokenizer ByteLevel CharDelimiterSplit Digits FixedLength Metaspace Punctuation Sequence Split
UnicodeScripts Whitespace WhitespaceSplit
"""
_DECODERS: Final = "BPEDecoder ByteFallback ByteLevel CTC Fuse Metaspace Replace Sequence Strip WordPiece"
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "normalizer": tuple(_NORMALIZERS.split()),
    "pre_tokenizer": tuple(_PRE_TOKENIZERS.split()),
    "post_processor": ("BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"),
    "decoder": tuple(_DECODERS.split()),
    "model": ("BPE", "Unigram", "WordLevel", "WordPiece"),
}
_NESTED: Final = ("normalizers", "pretokenizers", "processors", "decoders")


def explain(data: bytes, error: TokenizerFileError, *, source: str) -> TokenizerFileError:
    """The clearest error for a file the engine refused with `error`. Raises JsonFileError for half a file."""
    document = parse_json_object(data, source=source)
    for part, kinds in _KINDS.items():
        problem = _unknown_kind(document.get(part), part, kinds)
        if problem is not None:
            return TokenizerFileError(f"{problem} in {source}", fix=error.fix, file=source)
    model = document.get("model")
    if not isinstance(model, dict):
        return TokenizerFileError(f"{source} has no model", fix=error.fix, file=source)
    problem = _merge_problem(model) or _vocabulary_problem(model)
    return (
        error if problem is None else TokenizerFileError(f"{problem} in {source}", fix=error.fix, file=source)
    )


def _unknown_kind(value: JsonValue, part: str, kinds: tuple[str, ...]) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if isinstance(kind, str) and kind not in kinds:
        return f"the {part} type {kind!r} is unknown (known: {', '.join(kinds)})"
    for key in _NESTED:
        children = value.get(key)
        for child in children if isinstance(children, list) else ():
            problem = _unknown_kind(child, part, kinds)
            if problem is not None:
                return problem
    return None


def _merge_problem(model: Mapping[str, JsonValue]) -> str | None:
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        return None
    prefix = model.get("continuing_subword_prefix")
    cut = len(prefix) if isinstance(prefix, str) else 0
    for number, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) for p in parts):
            return f"merge {number}, {str(merge)[:60]!r}, is not a pair of tokens,"
        first, second = map(str, parts)
        for token in (first, second, first + second[cut:]):
            if token not in vocab:
                return f"merge {number}, {first!r} + {second!r}, needs {token!r}, which has no id,"
    return None


def _vocabulary_problem(model: Mapping[str, JsonValue]) -> str | None:
    vocab = model.get("vocab")
    if isinstance(vocab, dict):
        for token, id in vocab.items():
            if not isinstance(id, int) or isinstance(id, bool) or not 0 <= id < 2**32:
                return f"the vocabulary gives {token!r} the id {id!r}"
    elif isinstance(vocab, list):
        for id, entry in enumerate(vocab):
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
                return f"entry {id} of the vocabulary is {str(entry)[:60]!r}, not a token and its score,"
    else:
        return "the model has no vocabulary"
    return None
