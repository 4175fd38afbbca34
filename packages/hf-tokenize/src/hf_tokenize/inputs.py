"""What may be tokenized, and the exact complaint about what may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

from hf_tokenize.errors import EngineError, TextEncodingError, TextInputError, TokenizeError

Words: TypeAlias = "list[str] | tuple[str, ...]"
Text: TypeAlias = "str | Words"
"""A text, or a text already split into words."""
TextItem: TypeAlias = "Text | tuple[Text, Text]"
"""What an engine encodes into one row."""
TextInput: TypeAlias = (
    "str | Words | Sequence[Words] | Sequence[tuple[str, str]] | Sequence[tuple[Words, Words]]"
)
"""What a user may pass: one text, or a batch of texts, word lists or pairs."""


def to_items(
    text: TextInput | None, text_pair: TextInput | None, *, words: bool
) -> tuple[Sequence[TextItem], bool]:
    """The rows to encode, and whether the user gave a batch. Raises TextInputError."""
    if isinstance(text, str):
        if text_pair is None:
            return (text,), False
        if not isinstance(text_pair, str):
            raise TextInputError(
                f"one text was given with a text_pair of type {type(text_pair).__name__}",
                fix="give two texts, or two lists of the same length",
            )
        return ((text, text_pair),), False
    if not isinstance(text, list | tuple):
        raise TextInputError(
            f"text is {_describe(text)}", fix="pass a str, a list of str, or a list of (str, str) pairs"
        )
    if words and (not text or isinstance(text[0], str)):
        one = cast("Words", text)
        if text_pair is None:
            return (list(one),), False
        return ((list(one), list(cast("Words", text_pair))),), False
    if text_pair is None:
        items = cast("Sequence[TextItem]", text)
        return ([_word_lists(item) for item in items] if words else items), True
    if isinstance(text_pair, str) or not isinstance(text_pair, list | tuple) or len(text) != len(text_pair):
        count = 1 if isinstance(text_pair, str) else len(text_pair)
        raise TextInputError(
            f"a batch of {len(text)} texts was given with {count} second texts",
            fix="give text and text_pair as lists of the same length",
        )
    return list(zip(cast("Sequence[Text]", text), cast("Sequence[Text]", text_pair), strict=True)), True


def _word_lists(item: TextItem) -> TextItem:
    # Engines read a tuple as a pair, so one text given as a tuple of words becomes a list.
    return list(item) if isinstance(item, tuple) and item and isinstance(item[0], str) else item  # type: ignore[arg-type]  # checked


def input_error(cause: BaseException, items: Sequence[TextItem], *, words: bool) -> BaseException:
    """The typed error for texts on which an engine failed with `cause`; `cause` itself where it is not
    theirs.
    """
    if isinstance(cause, TokenizeError | KeyboardInterrupt | SystemExit | MemoryError):
        return cause
    for row, item in enumerate(items):
        for text in item if isinstance(item, tuple) and not words else (item,):
            problem = _problem(text, f"text {row}" if len(items) > 1 else "the text", words=words)
            if problem is not None:
                return problem
    return EngineError(
        f"the tokenization engine failed: {cause}", fix="this is a fault of its tokenizer.json; report both"
    )


def _problem(text: object, name: str, *, words: bool) -> TokenizeError | None:
    if isinstance(text, str):
        if words:
            return TextInputError(
                f"{name} is a str, and is_split_into_words=True asks for a list of words",
                fix="pass text.split(), or leave is_split_into_words out",
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            return TextEncodingError(
                f"{name} is not valid Unicode: character {error.start} is {text[error.start]!r}, half of a "
                "surrogate pair",
                fix="repair it with text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')",
            )
        return None
    if isinstance(text, list | tuple):
        if not words:
            return TextInputError(
                f"{name} is a {type(text).__name__} of {len(text)}, neither a text nor a pair of texts",
                fix="pass is_split_into_words=True for lists of words, or pairs as tuples of two str",
            )
        for at, word in enumerate(text):
            where = f"word {at} of {name}"
            if isinstance(word, list | tuple):  # a pair of word lists
                problem = _problem(word, where, words=True)
            elif isinstance(word, str):
                problem = _problem(word, where, words=False)
            else:
                problem = TextInputError(f"{where} is {_describe(word)}", fix="every word must be a str")
            if problem is not None:
                return problem
        return None
    return TextInputError(
        f"{name} is {_describe(text)}", fix="pass a str, a list of str, or a list of (str, str) pairs"
    )


def _describe(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return f"{type(value).__name__}, which must be decoded first: text.decode('utf-8')"
    if value is None:
        return "None"
    return f"a {type(value).__name__} ({str(value)[:40]!r})"
