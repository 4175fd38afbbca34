"""Words and their ids, remembered: most of a text is words that were seen before.

Where white space always ends a token, the ids of a text are those of its words, one after the other. Such a word needs
to go through the engine once; after that a look into a dict replaces it. The ids are the engine's own in any case. What
must hold is only that spaces separate, and `separators` decides that from the parts the engine has.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Final, TypeAlias, final

from hf_tokenize.inputs import TextItem
from hf_tokenize.separators import Separation

_CAPACITY: Final = 1 << 15
_LONGEST: Final = 48  # characters of a word worth remembering
_FEW: Final = 8  # words learnt of a text that is mostly new
_PATIENCE: Final = 8  # at most this many such texts in a row teach as much as one

EncodeWords: TypeAlias = Callable[[list[str]], list[list[int]]]
"""The engine, for words without a template."""


@final
class IdEncoding:
    """Ids between the tokens of a constant template; all else about them is made when asked for."""

    __slots__ = ("_head", "_tail", "ids")

    def __init__(self, ids: list[int], head: int, tail: int) -> None:
        self.ids = ids
        self._head = head
        self._tail = tail

    @property
    def type_ids(self) -> list[int]:
        return [0] * len(self.ids)

    @property
    def sequence_ids(self) -> list[int | None]:
        inner: list[int | None] = [0] * (len(self.ids) - self._head - self._tail)
        return [*([None] * self._head), *inner, *([None] * self._tail)]

    @property
    def special_tokens_mask(self) -> list[int]:
        return [int(sequence is None) for sequence in self.sequence_ids]

    @property
    def tokens(self) -> list[str]:
        return []

    @property
    def offsets(self) -> list[tuple[int, int]]:
        return []

    @property
    def word_ids(self) -> list[int | None]:
        return []


@final
class WordMemory:
    """Encodes texts word by word, as far as they are made of words between single spaces.

    Threads share it without a lock: an entry is written whole, and two threads that learn a word at once write equal
    values.
    """

    __slots__ = (
        "_encode_words",
        "_head",
        "_ids",
        "_only",
        "_spaced",
        "_special",
        "_strange",
        "_strangers",
        "_tail",
    )

    def __init__(
        self,
        separation: Separation,
        encode_words: EncodeWords,
        *,
        special: Sequence[str],
        head: Sequence[int],
        tail: Sequence[int],
    ) -> None:
        self._encode_words = encode_words
        self._spaced = separation.spaced
        self._strange = separation.strange
        self._only = separation.only
        self._head, self._tail = list(head), list(tail)
        self._ids: dict[str, tuple[int, ...]] = {}
        self._strangers = 0  # texts in a row that were mostly new; threads may miscount, which costs nothing
        longest_first = sorted(filter(None, special), key=len, reverse=True)
        flags = re.IGNORECASE if separation.folds_case else 0
        self._special = re.compile("|".join(map(re.escape, longest_first)) or "(?!)", flags)

    def encode(self, items: Sequence[TextItem], *, specials: bool) -> list[IdEncoding | None]:
        """The ids of each text, None for those that the engine must see whole."""
        head, tail = (self._head, self._tail) if specials else ([], [])
        found: list[IdEncoding | None] = []
        late: list[tuple[int, list[str]]] = []
        known = self._ids
        for at, text in enumerate(items):
            words = self._words(text) if isinstance(text, str) else None
            if words is None:
                found.append(None)
                continue
            ids = head.copy()
            try:
                for word in words:
                    ids += known[word]
            except KeyError:
                late.append((at, words))
                found.append(None)
                continue
            ids += tail
            found.append(IdEncoding(ids, len(head), len(tail)))
        if late:
            fresh = self._learn(self._missing(late))
            for at, words in late:
                try:
                    inner = [*chain.from_iterable(known.get(word) or fresh[word] for word in words)]
                except KeyError:  # too much is new: the engine takes the text whole
                    continue
                found[at] = IdEncoding([*head, *inner, *tail], len(head), len(tail))
        return found

    def _missing(self, late: Sequence[tuple[int, list[str]]]) -> set[str]:
        """The words to learn: all that are new, or a few of a text that is mostly new.

        Texts of ever new words, such as numbers and hashes, would pay for what is of no use to them, so the more
        of them there are in a row, the fewer are learnt from.
        """
        missing: set[str] = set()
        for _, words in late:
            new = {word for word in words if word not in self._ids and word not in missing}
            if len(new) > _FEW and 2 * len(new) > len(words):
                self._strangers += 1
                patience = min(self._strangers.bit_length(), _PATIENCE)
                new = set() if self._strangers % patience else set(islice(new, _FEW))
            else:
                self._strangers = 0
            missing |= new
        return missing

    def _words(self, text: str) -> list[str] | None:
        # Printable text has no white space but U+0020, no control characters and nothing invisible.
        if (
            not text.isprintable()
            or not text
            or "  " in text
            or text[0] == " "
            or text[-1] == " "
            or self._special.search(text) is not None
            or (self._strange is not None and self._strange in text)
            or not (self._only == "any" or text.isascii() or self._is_compatible(text))
        ):
            return None
        return text.replace(" ", "\0 ").split("\0") if self._spaced else text.split(" ")

    def _is_compatible(self, text: str) -> bool:
        """Whether normalisation leaves the text's spaces as they are."""
        return self._only == "compatible" and unicodedata.is_normalized("NFKC", text)

    def _learn(self, words: set[str]) -> dict[str, tuple[int, ...]]:
        listed = list(words)
        fresh = dict(zip(listed, map(tuple, self._encode_words(listed)), strict=True))
        known = self._ids
        for word, ids in fresh.items():
            if len(known) >= _CAPACITY:
                break
            if len(word) <= _LONGEST and ids:
                known[word] = ids
        return fresh
