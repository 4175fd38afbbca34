"""Engines without a vocabulary file: ids are bytes (ByT5) or code points (CANINE)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, final

from hf_tokenize.encoding import PlainEncoding
from hf_tokenize.engine import Encoded
from hf_tokenize.inputs import Text, TextItem, input_error
from hf_tokenize.special import AddedToken

Unit: TypeAlias = Literal["byte", "code point"]


class _Token(NamedTuple):
    id: int
    text: str
    span: tuple[int, int]
    word: int | None


@final
class CharacterEngine:
    """Text as its bytes or code points, each `offset` above its own number, special tokens cut out first.

    `before` and `after` are the ids the template puts around each text.
    """

    __slots__ = (
        "_added",
        "_after",
        "_before",
        "_by_id",
        "_offset",
        "_pattern",
        "_size",
        "_split",
        "kind",
        "unit",
    )

    def __init__(
        self,
        unit: Unit,
        *,
        offset: int,
        added: Mapping[int, AddedToken],
        before: Sequence[int] = (),
        after: Sequence[int] = (),
        split_special_tokens: bool = False,
    ) -> None:
        self.unit: Unit = unit
        self.kind = "Bytes" if unit == "byte" else "CodePoints"
        self._offset = offset
        self._added = dict(added)
        self._by_id = {token.content: id for id, token in added.items()}
        self._before, self._after = list(before), list(after)
        self._size = 256 if unit == "byte" else 0x110000
        self._split = split_special_tokens
        self._pattern = _cutter([t for t in added.values() if not (split_special_tokens and t.special)])

    def encode(self, items: Sequence[TextItem], *, words: bool, specials: bool, details: bool) -> Encoded:
        try:
            return [self._encode(item, words=words, specials=specials) for item in items], True
        except (TypeError, UnicodeEncodeError, AttributeError) as error:
            raise input_error(error, items, words=words) from None

    def _encode(self, item: TextItem, *, words: bool, specials: bool) -> PlainEncoding:
        texts: tuple[Text, ...] = item if isinstance(item, tuple) and len(item) == 2 else (item,)
        result = PlainEncoding([], [], [], [], [], [], [])
        for sequence, text in enumerate(texts):
            before = self._before if specials and (sequence == 0) else []
            after = self._after if specials else []
            _extend(result, [self._special(id) for id in before], sequence=None, type_id=0)
            _extend(result, list(self._tokens(text, words)), sequence=sequence, type_id=0)
            _extend(result, [self._special(id) for id in after], sequence=None, type_id=0)
        return result

    def _special(self, id: int) -> _Token:
        return _Token(id, self._added[id].content, (0, 0), None)

    def _tokens(self, text: Text, words: bool) -> Iterator[_Token]:
        for word, part in enumerate(text if words and not isinstance(text, str) else (text,)):
            if not isinstance(part, str):
                raise TypeError
            at = 0
            for match in self._pattern.finditer(part) if self._pattern else ():
                yield from self._units(part, at, match.start(), word)
                yield _Token(self._by_id[match.group().strip()], match.group().strip(), match.span(), word)
                at = match.end()
            yield from self._units(part, at, len(part), word)

    def _units(self, text: str, start: int, stop: int, word: int) -> Iterator[_Token]:
        for at in range(start, stop):
            span = (at, at + 1)
            if self.unit == "code point":
                yield _Token(ord(text[at]) + self._offset, text[at], span, word)
            else:
                for byte in text[at].encode("utf-8"):
                    yield _Token(byte + self._offset, chr(byte), span, word)

    def decode(self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        return [self._decode(ids, skip_special_tokens) for ids in batch]

    def _decode(self, ids: Sequence[int], skip: bool) -> str:
        tokens = []
        for id in ids:
            name = self.id_to_token(id)
            if name is None:
                raise OverflowError
            if not (skip and id in self._added and self._added[id].special):
                tokens.append(name)
        return self.join(tokens)

    def join(self, tokens: Sequence[str]) -> str:
        if self.unit == "code point":
            return "".join(tokens)
        data = b"".join(
            token.encode("utf-8") if token in self._by_id or len(token) > 1 else token.encode("latin-1")
            for token in tokens
        )
        return data.decode("utf-8", errors="ignore")  # half a character, at the edge of a cut, has no text

    def token_to_id(self, token: str) -> int | None:
        if token in self._by_id:
            return self._by_id[token]
        if len(token) != 1 or ord(token) >= self._size:
            return None
        return ord(token) + self._offset

    def id_to_token(self, id: int) -> str | None:
        if id in self._added:
            return self._added[id].content
        number = id - self._offset
        return chr(number) if 0 <= number < self._size else None

    def vocab(self) -> dict[str, int]:
        plain = {chr(number): number + self._offset for number in range(self._size)}
        return plain | self._by_id

    def sizes(self) -> tuple[int, int]:
        return self._size, max(self._size + self._offset, *(id + 1 for id in self._added))

    def added_tokens(self) -> Mapping[int, AddedToken]:
        return dict(self._added)

    def splitting(self) -> CharacterEngine:
        return CharacterEngine(
            self.unit,
            offset=self._offset,
            added=self._added,
            before=self._before,
            after=self._after,
            split_special_tokens=True,
        )

    def adding(self, tokens: Sequence[AddedToken]) -> CharacterEngine:
        added = dict(self._added)
        new = (token for token in tokens if token.content not in self._by_id)
        added.update(enumerate(new, self.sizes()[1]))
        return CharacterEngine(
            self.unit,
            offset=self._offset,
            added=added,
            before=self._before,
            after=self._after,
            split_special_tokens=self._split,
        )

    def special_token_count(self, *, pair: bool) -> int:
        return len(self._before) + len(self._after) * (2 if pair else 1)

    def to_json(self) -> None:
        return None


def _cutter(tokens: Sequence[AddedToken]) -> re.Pattern[str] | None:
    if not tokens:
        return None
    longest_first = sorted(tokens, key=lambda token: -len(token.content))
    parts = [
        (r"\s*" if token.lstrip else "") + re.escape(token.content) + (r"\s*" if token.rstrip else "")
        for token in longest_first
    ]
    return re.compile("|".join(parts))


def _extend(result: PlainEncoding, tokens: Sequence[_Token], *, sequence: int | None, type_id: int) -> None:
    count = len(tokens)
    result.ids.extend(token.id for token in tokens)
    result.type_ids.extend([type_id] * count)
    result.tokens.extend(token.text for token in tokens)
    result.offsets.extend(token.span for token in tokens)
    result.word_ids.extend(token.word for token in tokens)
    result.sequence_ids.extend([sequence] * count)
    result.special_tokens_mask.extend([1 if sequence is None else 0] * count)


def byt5_engine(extra_ids: int = 125) -> CharacterEngine:
    """ByT5: pad, end and unknown, then the 256 bytes, then the sentinels of its training task."""
    names = ["<pad>", "</s>", "<unk>"]
    added = {id: AddedToken(content=name, lstrip=True, rstrip=True) for id, name in enumerate(names)}
    added |= {259 + i: AddedToken(content=f"<extra_id_{i}>") for i in range(extra_ids)}
    return CharacterEngine("byte", offset=3, added=added, after=[1])


CANINE_SPECIAL = {"cls": 0xE000, "sep": 0xE001, "bos": 0xE002, "mask": 0xE003, "pad": 0, "reserved": 0xE004}
"""The private-use code points that CANINE uses as special tokens."""


def canine_engine() -> CharacterEngine:
    """CANINE: ids are code points; special tokens live in the private use area."""
    ids = [CANINE_SPECIAL[name] for name in ("cls", "sep", "mask", "pad")]
    added = {id: AddedToken(content=chr(id), lstrip=id == CANINE_SPECIAL["mask"]) for id in ids}
    return CharacterEngine(
        "code point", offset=0, added=added, before=[CANINE_SPECIAL["cls"]], after=[CANINE_SPECIAL["sep"]]
    )
