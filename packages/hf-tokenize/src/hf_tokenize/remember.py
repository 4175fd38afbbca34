"""Whether an engine's words may be remembered, and the memory if so."""

from __future__ import annotations

import json
from typing import Final

import tokenizers

from hf_hub_io import JsonValue
from hf_tokenize.memory import EncodeWords, WordMemory
from hf_tokenize.separators import find_separation

_TEMPLATE_PROBES: Final = ("a", "the end", "x1 y2 z3")
# Words in many scripts, numbers, punctuation, marks and emoji, between single spaces.
_PROBES: Final = (
    "The quick brown fox doesn't jump, it's 1,234.5 lazy dogs! (Really?)",
    "def f(x): return x**2 # no_such_thing == 0x1F600 && a->b",
    "Größe naïve café Ελλάδα Привет שלום مرحبا नमस्ते ภาษาไทย 日本語 한국어 中文。 e\u0301 🙂 👩🏽",
    "a b c 1 22 333 4444 ' \" - -- ... <x> [y] {z} @ # $ % ^ & * + = ~ ` | \\ / : ;",
    "CamelCase snake_case kebab-case UPPER lower MiXeD x'y'z 's 't I'm you'll we'd",
)


def build_memory(rust: tokenizers.Tokenizer, encode_words: EncodeWords) -> WordMemory | None:
    """A memory for the engine; None for one in which spaces do not separate, or whose template is not constant.

    The decision is made from the engine's parts; a few texts then confirm it against the engine itself.
    """
    added = rust.get_added_tokens_decoder().values()
    tokens = (token for token in rust.get_vocab(with_added_tokens=False))
    separation = find_separation(
        _part(rust.normalizer),
        _part(rust.pre_tokenizer),
        tokens,
        normalized_tokens=any(token.normalized for token in added),
    )
    if separation is None:
        return None
    special = [token.content for token in added if not (token.special and rust.encode_special_tokens)]
    try:
        template = _template(rust)
        if template is None:
            return None
        memory = WordMemory(separation, encode_words, special=special, head=template[0], tail=template[1])
        return memory if _confirmed(rust, memory) else None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        return None


def _part(value: object) -> JsonValue:
    """The JSON of one part of the engine, without the vocabulary around it."""
    if not isinstance(value, tokenizers.normalizers.Normalizer | tokenizers.pre_tokenizers.PreTokenizer):
        return None
    parsed: JsonValue = json.loads(value.__getstate__())
    return parsed


def _template(rust: tokenizers.Tokenizer) -> tuple[list[int], list[int]] | None:
    """The ids before and after every single text; None where they, or the type ids, are not constant."""
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    for text in _TEMPLATE_PROBES:
        encoding = rust.encode(text)
        inner = [at for at, sequence in enumerate(encoding.sequence_ids) if sequence == 0]
        if any(encoding.type_ids) or not inner or encoding.sequence_ids.count(0) != inner[-1] - inner[0] + 1:
            return None
        seen.add((tuple(encoding.ids[: inner[0]]), tuple(encoding.ids[inner[-1] + 1 :])))
    if len(seen) != 1:
        return None
    head, tail = seen.pop()
    return list(head), list(tail)


def _confirmed(rust: tokenizers.Tokenizer, memory: WordMemory) -> bool:
    for text in (*_TEMPLATE_PROBES, *_PROBES):
        for specials in (True, False):
            found = memory.encode((text,), specials=specials)[0]
            if found is not None and found.ids != rust.encode(text, add_special_tokens=specials).ids:
                return False
    return True
