"""Text while it is being generated: ids in, finished characters out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import final

from hf_tokenize.decode import check_ids, decode_batch
from hf_tokenize.engine import Engine

_REPLACEMENT = "\ufffd"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_WORD_LAG = 4  # tokens that the space rules of word-based decoders may still change


@final
class TextStream:
    """Decodes a growing list of ids; what `push` and `end` return, put together, is `decode` of all ids.

    Nothing is returned before it is final: no half characters, no text that a later token still changes. One stream
    belongs to one generation; make one per row of a batch with `tokenizer.streams(n)`.
    """

    __slots__ = ("_done", "_engine", "_hidden", "_ids", "_lag", "_skip", "_start")

    def __init__(self, engine: Engine, *, skip_special_tokens: bool = False) -> None:
        self._engine = engine
        self._skip = skip_special_tokens
        self._lag = _WORD_LAG if engine.kind == "WordPiece" else 0
        special = (id for id, token in engine.added_tokens().items() if token.special)
        self._hidden = frozenset(special if skip_special_tokens else ())
        self._ids: list[int] = []
        self._start = 0  # the first token that still matters to what comes
        self._done = 0  # tokens whose text was returned

    def push(self, ids: int | Sequence[int]) -> str:
        """The text that is final now that `ids` came. Raises TokenIdError."""
        new = [ids] if isinstance(ids, int) else list(ids)
        check_ids(self._engine, new)
        self._ids += new
        return self._emit(len(self._ids) - self._lag)

    def end(self) -> str:
        """The rest of the text, half characters as replacement characters; the stream is then empty."""
        rest = self._emit(len(self._ids), last=True)
        self._ids.clear()
        self._start = self._done = 0
        return rest

    def _emit(self, stop: int, *, last: bool = False) -> str:
        if stop <= self._done:
            return ""
        if not last and self._ends_in_byte(stop):
            return ""  # decoders read a run of byte tokens as a whole
        before, after = self._decode(self._start, self._done), self._decode(self._start, stop)
        if not last and (after.endswith(_REPLACEMENT) or not after.startswith(before)):
            return ""
        if self._decode(self._done, stop):
            # Decoders treat the first token of a text specially, so some text must stay in front of what comes.
            self._start = self._done
        self._done = stop
        return after[len(before) :]

    def _ends_in_byte(self, stop: int) -> bool:
        shown = (id for id in reversed(self._ids[self._start : stop]) if id not in self._hidden)
        last = next(shown, None)
        return last is not None and _BYTE_TOKEN.fullmatch(self._engine.id_to_token(last) or "") is not None

    def _decode(self, start: int, stop: int) -> str:
        if start == stop:
            return ""
        return decode_batch(self._engine, [self._ids[start:stop]], skip_special_tokens=self._skip)[0]
