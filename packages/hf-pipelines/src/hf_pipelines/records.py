"""What pipelines return: plain dicts with the keys that users of these tasks know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypeAlias, TypedDict

TokenFeatures: TypeAlias = list[list[list[float]]]
"""One text's features as nested lists [1, tokens, width]."""


class LabelScore(TypedDict):
    """One class of a text and how sure the model is of it."""

    label: str
    score: float


class TextPair(TypedDict):
    """Two texts that are classified together."""

    text: str
    text_pair: str


class TokenEntity(TypedDict):
    """The label of one token; `text[start:end]` is what it stands for, `index` its place among the tokens."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class EntityGroup(TypedDict):
    """Neighbouring tokens that together name one thing; `text[start:end]` is that name as written."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class MaskFill(TypedDict):
    """A token proposed for a mask, and the text with it filled in."""

    score: float
    token: int
    token_str: str
    sequence: str


class QuestionContext(TypedDict):
    """A question and the text that holds its answer."""

    question: str
    context: str


class Answer(TypedDict):
    """A passage of the context; `context[start:end] == answer`. An impossible answer is empty."""

    score: float
    start: int
    end: int
    answer: str


class ZeroShotLabels(TypedDict):
    """Candidate labels with their scores, best first."""

    sequence: str
    labels: list[str]
    scores: list[float]


class SentencePairs(TypedDict):
    """A sentence, and the sentences it is compared with."""

    source_sentence: str
    sentences: list[str]


class RankQuery(TypedDict):
    """A query and the documents to be put in order for it."""

    query: str
    documents: list[str]


class RankedDocument(TypedDict):
    """A document of a ranking: its place in the given list, its score and its text."""

    corpus_id: int
    score: float
    text: str


class ChatMessage(TypedDict):
    """One turn of a conversation: who speaks and what is said, text or a list of parts; and what tools were called."""

    role: str
    content: str | list[dict[str, str]]
    name: NotRequired[str]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[dict[str, object]]]
    tool_call_id: NotRequired[str]


class GeneratedText(TypedDict):
    """A continuation, with the prompt before it unless `return_full_text=False`."""

    generated_text: str


class GeneratedChat(TypedDict):
    """A conversation with the model's turn added."""

    generated_text: list[ChatMessage]


class SummaryText(TypedDict):
    """A summary of a text."""

    summary_text: str


class TranslationText(TypedDict):
    """A text in another language."""

    translation_text: str


class TableQuestion(TypedDict):
    """A table, as lists of cells under the names of columns, and a question about it."""

    table: Mapping[str, Sequence[str | float]]
    query: str


class TableAnswer(TypedDict):
    """The answer to a question about a table."""

    answer: str
