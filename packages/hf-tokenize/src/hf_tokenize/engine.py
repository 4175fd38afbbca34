"""The seam between this package and what turns text into tokens, and the Rust engine behind most tokenizers.

An engine is never configured after it was made, so any number of threads may use it. Truncation and padding
are not its business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from threading import Lock
from typing import Final, Literal, Protocol, TypeAlias, cast, final

import tokenizers

from hf_hub_io.errors import MissingPackageError
from hf_tokenize.encoding import RawEncoding
from hf_tokenize.errors import EngineError, TextEncodingError, TextInputError, TokenizerFileError
from hf_tokenize.inputs import TextItem, input_error
from hf_tokenize.memory import WordMemory
from hf_tokenize.remember import build_memory
from hf_tokenize.special import AddedToken
from hf_tokenize.texttable import TextTable, build_table

_FEW: Final = 16

Encoded: TypeAlias = tuple[Sequence[RawEncoding], bool]
"""One raw encoding per text, and whether they have tokens, offsets and words too."""


class Engine(Protocol):
    """Text to raw encodings and back; every method may be called from many threads at once."""

    @property
    def kind(self) -> str:
        """The subword model: BPE, WordPiece, Unigram, WordLevel, or that of a Python engine."""
        ...

    def encode(self, items: Sequence[TextItem], *, words: bool, specials: bool, details: bool) -> Encoded:
        """Encodes texts, or pairs, all at once; `words`: each text is a list of words; `specials`: apply the
        template; without `details` the engine may leave out all but ids, types and sequences."""
        ...

    def decode(self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        """The text of each list of ids. Raises OverflowError or TypeError for an id that no token has."""
        ...

    def join(self, tokens: Sequence[str]) -> str:
        """The text that tokens, given as strings, stand for."""
        ...

    def token_to_id(self, token: str) -> int | None: ...
    def id_to_token(self, id: int) -> str | None: ...
    def vocab(self) -> dict[str, int]: ...
    def sizes(self) -> tuple[int, int]:
        """How many tokens the model has, and how many there are with the added ones."""
        ...

    def added_tokens(self) -> Mapping[int, AddedToken]: ...
    def splitting(self) -> Engine:
        """The same engine, except that it treats special tokens in a text as text."""
        ...

    def adding(self, tokens: Sequence[AddedToken]) -> Engine:
        """A copy that also splits text at `tokens`; those not in the vocabulary get the next free ids."""
        ...

    def special_token_count(self, *, pair: bool) -> int: ...
    def to_json(self) -> str | None:
        """The text of a `tokenizer.json`; None for an engine that this format cannot express."""
        ...


def to_rust(token: AddedToken) -> tokenizers.AddedToken:
    """`token` in the engine's own type."""
    return tokenizers.AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=token.normalized,
        special=token.special,
    )


def read_rust(data: bytes | str, *, source: str) -> tokenizers.Tokenizer:
    """The engine object that the text of a `tokenizer.json` describes; `source` is what errors call it.

    Raises TokenizerFileError with the engine's own words.
    """
    try:
        return tokenizers.Tokenizer.from_buffer(data.encode("utf-8") if isinstance(data, str) else data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise TokenizerFileError(
            f"{source} is not a tokenizer the engine can read: {error}",
            fix=f"correct {source}, or delete it and fetch it again",
            file=source,
        ) from None


@final
class RustEngine:
    """The `tokenizers` library, wrapped so that nothing can be set on it any more."""

    __slots__ = ("_lock", "_memory", "_rust", "_splitting", "_table", "kind")

    def __init__(self, rust: tokenizers.Tokenizer) -> None:
        rust.no_truncation()
        rust.no_padding()
        self._rust = rust
        self._lock = Lock()
        self._splitting: RustEngine | None = None
        # Made when first needed: a tokenizer that is only saved, or only decodes, should not wait for them.
        self._memory: WordMemory | Literal["unknown"] | None = "unknown"
        self._table: TextTable | Literal["unknown"] | None = "unknown"
        self.kind = type(rust.model).__name__

    def encode(self, items: Sequence[TextItem], *, words: bool, specials: bool, details: bool) -> Encoded:
        if words or details:
            return self._encode(items, words=words, specials=specials, details=details)
        memory = self._memory
        if memory == "unknown":
            memory = self._start_memory()
        if memory is None:
            return self._encode(items, words=False, specials=specials, details=False)
        try:
            found = memory.encode(items, specials=specials)
        except (TypeError, UnicodeEncodeError) as error:
            raise input_error(error, items, words=False) from None
        if None not in found:
            return cast("Sequence[RawEncoding]", found), False
        rest = [at for at, encoding in enumerate(found) if encoding is None]
        if len(rest) == len(items):
            return self._encode(items, words=False, specials=specials, details=False)
        try:
            raws, _ = self._encode([items[at] for at in rest], words=False, specials=specials, details=False)
        except (TextInputError, TextEncodingError):
            raise input_error(TypeError(), items, words=False) from None  # with their places among all items
        merged = cast("list[RawEncoding]", found)
        for at, raw in zip(rest, raws, strict=True):
            merged[at] = raw
        return merged, False

    def _encode(self, items: Sequence[TextItem], *, words: bool, specials: bool, details: bool) -> Encoded:
        """The engine's own result. Raises MissingPackageError: it takes word lists by way of numpy."""
        if words and find_spec("numpy") is None:
            raise MissingPackageError("numpy", "is_split_into_words=True")
        rust = self._rust
        try:
            if len(items) == 1:
                item = items[0]
                text, pair = item if isinstance(item, tuple) else (item, None)
                return (rust.encode(text, pair, words, specials),), True
            if details:
                return rust.encode_batch(items, words, specials), True
            return rust.encode_batch_fast(items, words, specials), False
        except BaseException as error:  # noqa: BLE001 - the engine raises bare Exception, and its panics are not even that
            raise input_error(error, items, words=words) from None

    def _start_memory(self) -> WordMemory | None:
        with self._lock:
            if self._memory == "unknown":
                self._memory = build_memory(self._rust, self._encode_words)
            return self._memory

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        if len(words) <= _FEW:  # waking the engine's threads takes longer than these words
            return [
                self._encode((word,), words=False, specials=False, details=False)[0][0].ids for word in words
            ]
        raws, _ = self._encode(words, words=False, specials=False, details=False)
        return [raw.ids for raw in raws]

    def decode(self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        table = self._table
        if table == "unknown":
            table = self._start_table()
        if table is None:
            return self._decode(batch, skip_special_tokens)
        texts = [table.decode(ids, skip_special_tokens=skip_special_tokens) for ids in batch]
        return [
            self._decode([ids], skip_special_tokens)[0] if text is None else text
            for ids, text in zip(batch, texts, strict=True)
        ]

    def _decode(self, batch: Sequence[Sequence[int]], skip_special_tokens: bool) -> list[str]:
        """The engine's own result."""
        size = self._rust.get_vocab_size(with_added_tokens=True)
        for ids in batch:
            # The engine leaves out ids that no token has; here they are an error of the caller's.
            if ids and max(ids) >= size and any(self._rust.id_to_token(id) is None for id in ids):
                raise OverflowError
        try:
            if len(batch) == 1:
                return [self._rust.decode(batch[0], skip_special_tokens)]
            return self._rust.decode_batch(batch, skip_special_tokens)
        except BaseException as error:
            if isinstance(error, OverflowError | TypeError | KeyboardInterrupt | SystemExit | MemoryError):
                raise  # a wrong id or type, which the caller explains
            raise EngineError(f"the engine cannot decode these ids: {error}") from None

    def _start_table(self) -> TextTable | None:
        with self._lock:
            if self._table == "unknown":
                self._table = build_table(self._rust)
            return self._table

    def join(self, tokens: Sequence[str]) -> str:
        decoder = self._rust.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(list(tokens))

    def token_to_id(self, token: str) -> int | None:
        return self._rust.token_to_id(token)

    def id_to_token(self, id: int) -> str | None:
        return self._rust.id_to_token(id)

    def vocab(self) -> dict[str, int]:
        return self._rust.get_vocab(with_added_tokens=True)

    def sizes(self) -> tuple[int, int]:
        rust = self._rust
        return rust.get_vocab_size(with_added_tokens=False), rust.get_vocab_size(with_added_tokens=True)

    def added_tokens(self) -> Mapping[int, AddedToken]:
        return {
            id: AddedToken(
                content=token.content,
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=token.normalized,
                special=token.special,
            )
            for id, token in sorted(self._rust.get_added_tokens_decoder().items())
        }

    def splitting(self) -> RustEngine:
        # Whether special tokens are split is a property of the engine, so this needs a second one, made once.
        with self._lock:
            if self._splitting is None:
                rust = read_rust(self._rust.to_str(), source="this tokenizer")
                rust.encode_special_tokens = True
                self._splitting = RustEngine(rust)
            return self._splitting

    def adding(self, tokens: Sequence[AddedToken]) -> RustEngine:
        rust = read_rust(self._rust.to_str(), source="this tokenizer")
        rust.encode_special_tokens = self._rust.encode_special_tokens
        rust.add_tokens([to_rust(token) for token in tokens])
        return RustEngine(rust)

    def special_token_count(self, *, pair: bool) -> int:
        return self._rust.num_special_tokens_to_add(pair)

    def to_json(self) -> str:
        return self._rust.to_str()
