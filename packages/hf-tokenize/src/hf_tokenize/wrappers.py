"""Engines around engines: other special tokens around a text, or other ids for the same pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, final

from hf_tokenize.encoding import PlainEncoding, RawEncoding
from hf_tokenize.engine import Encoded, Engine
from hf_tokenize.inputs import TextItem
from hf_tokenize.special import AddedToken


@final
class AffixedEngine:
    """An engine whose template is `before A after`, or `before A B after` for pairs.

    Cheap to make, so a tokenizer can have one per language; the engine inside is shared.
    """

    __slots__ = ("_after", "_before", "_inner", "kind")

    def __init__(self, inner: Engine, *, before: Sequence[int], after: Sequence[int]) -> None:
        self._inner: Engine = inner
        self._before, self._after = tuple(before), tuple(after)
        self.kind = inner.kind

    def encode(self, items: Sequence[TextItem], *, words: bool, specials: bool, details: bool) -> Encoded:
        raws, complete = self._inner.encode(items, words=words, specials=False, details=details)
        return ([self._wrap(raw, complete) for raw in raws] if specials else raws), complete

    def _wrap(self, raw: RawEncoding, complete: bool) -> PlainEncoding:
        before, after = self._before, self._after
        head, tail = len(before), len(after)
        return PlainEncoding(
            ids=[*before, *raw.ids, *after],
            type_ids=[*([0] * head), *raw.type_ids, *([0] * tail)],
            tokens=[*self._names(before), *raw.tokens, *self._names(after)] if complete else [],
            offsets=[*([(0, 0)] * head), *raw.offsets, *([(0, 0)] * tail)],
            word_ids=[*([None] * head), *raw.word_ids, *([None] * tail)],
            sequence_ids=[*([None] * head), *raw.sequence_ids, *([None] * tail)],
            special_tokens_mask=[*([1] * head), *raw.special_tokens_mask, *([1] * tail)],
        )

    def _names(self, ids: Sequence[int]) -> list[str]:
        return [self._inner.id_to_token(id) or "" for id in ids]

    def decode(self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        return self._inner.decode(batch, skip_special_tokens=skip_special_tokens)

    def join(self, tokens: Sequence[str]) -> str:
        return self._inner.join(tokens)

    def token_to_id(self, token: str) -> int | None:
        return self._inner.token_to_id(token)

    def id_to_token(self, id: int) -> str | None:
        return self._inner.id_to_token(id)

    def vocab(self) -> dict[str, int]:
        return self._inner.vocab()

    def sizes(self) -> tuple[int, int]:
        return self._inner.sizes()

    def added_tokens(self) -> Mapping[int, AddedToken]:
        return self._inner.added_tokens()

    def splitting(self) -> Engine:
        return AffixedEngine(self._inner.splitting(), before=self._before, after=self._after)

    def adding(self, tokens: Sequence[AddedToken]) -> Engine:
        return AffixedEngine(self._inner.adding(tokens), before=self._before, after=self._after)

    def special_token_count(self, *, pair: bool) -> int:
        return len(self._before) + len(self._after)

    def to_json(self) -> str | None:
        """The engine inside, with this template as its post-processor."""
        text = self._inner.to_json()
        if text is None:
            return None
        document = json.loads(text)
        known = {name: id for id in (*self._before, *self._after) if (name := self._inner.id_to_token(id))}

        def special(ids: Sequence[int]) -> list[object]:
            return [{"SpecialToken": {"id": name, "type_id": 0}} for name in self._names(ids)]

        first = {"Sequence": {"id": "A", "type_id": 0}}
        second = {"Sequence": {"id": "B", "type_id": 0}}
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [*special(self._before), first, *special(self._after)],
            "pair": [*special(self._before), first, second, *special(self._after)],
            "special_tokens": {
                name: {"id": name, "ids": [id], "tokens": [name]} for name, id in known.items()
            },
        }
        return json.dumps(document, ensure_ascii=False)


@final
class RemappedEngine:
    """The pieces of one engine under the ids of another vocabulary, as Marian and M2M100 have them.

    Pieces that the vocabulary lacks become its unknown token, and so do their neighbours' gaps in decoding.
    """

    __slots__ = ("_by_id", "_inner", "_special", "_table", "_unk", "_vocab", "kind")

    def __init__(self, inner: Engine, vocab: Mapping[str, int], *, unk: str, special: Sequence[str]) -> None:
        self._inner = inner
        self._vocab = dict(vocab)
        self._by_id = {id: token for token, id in vocab.items()}
        self._unk: Final = vocab[unk]
        self._special = [token for token in special if token in vocab]
        self._table = {id: self._vocab.get(token, self._unk) for token, id in inner.vocab().items()}
        self.kind = inner.kind

    def encode(self, items: Sequence[TextItem], *, words: bool, specials: bool, details: bool) -> Encoded:
        raws, complete = self._inner.encode(items, words=words, specials=specials, details=details)
        return [self._map(raw) for raw in raws], complete

    def _map(self, raw: RawEncoding) -> PlainEncoding:
        table = self._table
        return PlainEncoding(
            ids=[table[id] for id in raw.ids],
            type_ids=raw.type_ids,
            tokens=raw.tokens,
            offsets=raw.offsets,
            word_ids=raw.word_ids,
            sequence_ids=raw.sequence_ids,
            special_tokens_mask=raw.special_tokens_mask,
        )

    def decode(self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        skip = {self._vocab[token] for token in self._special} if skip_special_tokens else set()
        try:
            return [self.join([self._by_id[id] for id in ids if id not in skip]).strip() for ids in batch]
        except KeyError:
            raise OverflowError from None

    def join(self, tokens: Sequence[str]) -> str:
        return self._inner.join(tokens)

    def token_to_id(self, token: str) -> int | None:
        return self._vocab.get(token)

    def id_to_token(self, id: int) -> str | None:
        return self._by_id.get(id)

    def vocab(self) -> dict[str, int]:
        return dict(self._vocab)

    def sizes(self) -> tuple[int, int]:
        return len(self._vocab), max(self._by_id, default=-1) + 1

    def added_tokens(self) -> Mapping[int, AddedToken]:
        return {self._vocab[token]: AddedToken(content=token) for token in self._special}

    def splitting(self) -> Engine:
        unk = self._by_id[self._unk]
        return RemappedEngine(self._inner.splitting(), self._vocab, unk=unk, special=self._special)

    def adding(self, tokens: Sequence[AddedToken]) -> Engine:
        vocab = dict(self._vocab)
        for token in tokens:
            vocab.setdefault(token.content, max(vocab.values()) + 1)
        special = [*self._special, *(token.content for token in tokens if token.special)]
        return RemappedEngine(self._inner.adding(tokens), vocab, unk=self._by_id[self._unk], special=special)

    def special_token_count(self, *, pair: bool) -> int:
        return self._inner.special_token_count(pair=pair)

    def to_json(self) -> None:
        return None
