"""Ids to text by table: each token's text is worked out once and then looked up.

The usual decoders give a token a text that depends only on the token, and on whether it comes first. Then the text of
a sequence is the texts of its tokens, joined. Other decoders, and rows with tokens that stand for single
bytes, are left to the engine.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar, final

import tokenizers

from hf_hub_io import JsonValue
from hf_tokenize.cleanup import clean_up_spaces
from hf_tokenize.patterns import byte_alphabet

_BYTE_TOKEN: Final = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_META: Final = "▁"
_T = TypeVar("_T", str, bytes)


class NoTextError(LookupError):
    """A token that the table has no text for."""


@final
class _Lazy(dict[int, _T], Generic[_T]):
    """What each id stands for, filled as ids are met."""

    __slots__ = ("_make",)
    _make: Callable[[int], _T]

    def __init__(self, make: Callable[[int], _T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, id: int) -> _T:
        made: _T = self._make(id)
        self[id] = made
        return made


@final
class TextTable:
    """Decodes rows whose tokens all have a text of their own. Threads share it: entries are written whole."""

    __slots__ = ("_first", "_later", "_raw", "_special", "_strip")

    def __init__(
        self,
        *,
        first: Callable[[int], str],
        later: Callable[[int], str],
        raw: Callable[[int], bytes] | None,
        strip: bool,
        special: frozenset[int],
    ) -> None:
        self._first = _Lazy(first)
        self._later = _Lazy(later)
        self._raw = None if raw is None else _Lazy(raw)
        self._strip = strip
        self._special = special

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str | None:
        """The text of a row; None for one that the engine must decode, or that has ids no token has."""
        if skip_special_tokens and not self._special.isdisjoint(ids):
            special = self._special
            ids = [id for id in ids if id not in special]
        try:
            if self._raw is not None:
                return b"".join(map(self._raw.__getitem__, ids)).decode("utf-8", errors="replace")
            if not ids:
                return ""
            text = self._first[ids[0]] + "".join(map(self._later.__getitem__, ids[1:]))
        except (NoTextError, TypeError):
            return None
        return text[1:] if self._strip and text.startswith(" ") else text


def build_table(rust: tokenizers.Tokenizer) -> TextTable | None:
    """The table of an engine; None for one with a decoder of another kind, or that fails a trial."""
    decoder = rust.decoder
    if decoder is None:
        return None
    parsed: JsonValue = json.loads(decoder.__getstate__())
    special = frozenset(id for id, token in rust.get_added_tokens_decoder().items() if token.special)
    table = _table_of(parsed, rust, special)
    try:
        return table if table is not None and _confirmed(rust, table) else None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        return None


def _table_of(decoder: JsonValue, rust: tokenizers.Tokenizer, special: frozenset[int]) -> TextTable | None:
    def name(id: int) -> str:
        try:
            token = rust.id_to_token(id)
        except (OverflowError, TypeError):  # negative, or not an id at all
            token = None
        if token is None:
            raise NoTextError(id)
        return token

    match decoder:
        case {"type": "ByteLevel"}:
            return TextTable(first=name, later=name, raw=_byte_level(name), strip=False, special=special)
        case {"type": "WordPiece", "prefix": str(prefix), "cleanup": bool(cleanup)}:
            tidy = clean_up_spaces if cleanup else str

            def continued(id: int) -> str:
                token = name(id)
                return tidy(token.removeprefix(prefix) if token.startswith(prefix) else f" {token}")

            return TextTable(
                first=lambda id: tidy(name(id)), later=continued, raw=None, strip=False, special=special
            )
        case {"type": "Metaspace", "replacement": "▁", "prepend_scheme": str(scheme)}:

            def opening(id: int) -> str:
                token = name(id)
                return (token.removeprefix(_META) if scheme != "never" else token).replace(_META, " ")

            return TextTable(
                first=opening,
                later=lambda id: name(id).replace(_META, " "),
                raw=None,
                strip=False,
                special=special,
            )
        case {"type": "Sequence", "decoders": [*parts]} if parts[:3] == _PIECES:
            rest = parts[3:]
            if rest not in ([], [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]):
                return None

            def whole(id: int) -> str:
                token = name(id)
                if _BYTE_TOKEN.fullmatch(token):
                    raise NoTextError(id)
                return token.replace(_META, " ")

            return TextTable(first=whole, later=whole, raw=None, strip=bool(rest), special=special)
        case _:
            return None


_PIECES: Final[list[JsonValue]] = [
    {"type": "Replace", "pattern": {"String": _META}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]


def _byte_level(name: Callable[[int], str]) -> Callable[[int], bytes]:
    number = {character: byte for byte, character in enumerate(byte_alphabet())}

    def raw(id: int) -> bytes:
        token = name(id)
        values = [number.get(character) for character in token]
        known = [value for value in values if value is not None]
        # A token with a character outside the alphabet, such as an added one with a space, is taken as it is.
        return bytes(known) if len(known) == len(values) else token.encode("utf-8")

    return raw


def _confirmed(rust: tokenizers.Tokenizer, table: TextTable) -> bool:
    """Whether a few random rows come out as the engine gives them."""
    size = rust.get_vocab_size(with_added_tokens=True)
    draw = random.Random(size)
    for length in (1, 2, 3, 5, 8, 13, 21, 34):
        ids = [draw.randrange(size) for _ in range(length)]
        for skip in (False, True):
            found = table.decode(ids, skip_special_tokens=skip)
            if found is not None and found != rust.decode(ids, skip_special_tokens=skip):
                return False
    return True
