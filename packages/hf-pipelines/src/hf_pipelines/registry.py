"""Which tasks there are: those of this package, and those that installed packages add by entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeAlias, final

from hf_modeling.families.family import Task as Head
from hf_pipelines.base import Pipeline
from hf_pipelines.errors import OptionValueError, TaskMismatchError, UnknownTaskError
from hf_pipelines.load import HeadChoice, Parts
from hf_pipelines.tasks.conversational import ConversationalPipeline
from hf_pipelines.tasks.embedding import EmbeddingPipeline
from hf_pipelines.tasks.feature_extraction import FeatureExtractionPipeline
from hf_pipelines.tasks.fill_mask import FillMaskPipeline
from hf_pipelines.tasks.question_answering import QuestionAnsweringPipeline
from hf_pipelines.tasks.sentence_similarity import SentenceSimilarityPipeline
from hf_pipelines.tasks.table_answers import TableAnswerPipeline
from hf_pipelines.tasks.text2text import SummarizationPipeline, Text2TextPipeline
from hf_pipelines.tasks.text_classification import LabelScoresPipeline, TextClassificationPipeline
from hf_pipelines.tasks.text_generation import TextGenerationPipeline
from hf_pipelines.tasks.text_ranking import TextRankingPipeline
from hf_pipelines.tasks.token_classification import EntityPipeline, TokenClassificationPipeline
from hf_pipelines.tasks.translation import TranslationPipeline, named_languages
from hf_pipelines.tasks.zero_shot import ZeroShotPipeline

AnyPipeline: TypeAlias = Pipeline[Any, Any, Any]
ENTRY_POINTS = "hf_pipelines.tasks"


@final
@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A task: which heads of checkpoints can do it, and what makes its pipeline from parts and options.

    `heads` maps a head that a checkpoint has to the one that is loaded from it. With "base" among them the
    task works on any checkpoint, whatever it was trained for.
    """

    heads: Mapping[Head, Head]
    make: Callable[[Parts, Mapping[str, Any]], AnyPipeline]
    suggestion: str
    """A checkpoint that many use for this task, for whoever names none."""


def _features(parts: Parts, options: Mapping[str, Any]) -> AnyPipeline:
    rest = {name: value for name, value in options.items() if name != "pooling"}
    if "pooling" in options:
        return EmbeddingPipeline(parts, rest, pooling=options["pooling"])
    return FeatureExtractionPipeline(parts, rest)


def _labels(parts: Parts, options: Mapping[str, Any]) -> AnyPipeline:
    rest = {name: value for name, value in options.items() if name != "top_k"}
    if "top_k" in options:
        return LabelScoresPipeline(parts, rest, top_k=options["top_k"])
    return TextClassificationPipeline(parts, rest)


def _similarity(parts: Parts, options: Mapping[str, Any]) -> AnyPipeline:
    rest = {name: value for name, value in options.items() if name != "pooling"}
    return SentenceSimilarityPipeline(parts, rest, pooling=options.get("pooling", "auto"))


def _tokens(parts: Parts, options: Mapping[str, Any]) -> AnyPipeline:
    rest = {name: value for name, value in options.items() if name != "aggregation_strategy"}
    strategy = options.get("aggregation_strategy", "none")
    if strategy == "none":
        return TokenClassificationPipeline(parts, rest)
    return EntityPipeline(parts, rest, aggregation_strategy=strategy)


_OWN: Mapping[str, TaskEntry] = {
    "conversational": TaskEntry(
        heads={"causal-lm": "causal-lm", "seq2seq-lm": "seq2seq-lm"},
        make=ConversationalPipeline,
        suggestion="facebook/blenderbot-400M-distill",
    ),
    "feature-extraction": TaskEntry(
        heads={"base": "base"}, make=_features, suggestion="sentence-transformers/all-MiniLM-L6-v2"
    ),
    "fill-mask": TaskEntry(
        heads={"masked-lm": "masked-lm", "pretraining": "masked-lm"},
        make=FillMaskPipeline,
        suggestion="google-bert/bert-base-uncased",
    ),
    "question-answering": TaskEntry(
        heads={"question-answering": "question-answering"},
        make=QuestionAnsweringPipeline,
        suggestion="distilbert/distilbert-base-cased-distilled-squad",
    ),
    "sentence-similarity": TaskEntry(
        heads={"base": "base"}, make=_similarity, suggestion="sentence-transformers/all-MiniLM-L6-v2"
    ),
    "summarization": TaskEntry(
        heads={"seq2seq-lm": "seq2seq-lm"}, make=SummarizationPipeline, suggestion="facebook/bart-large-cnn"
    ),
    "table-question-answering": TaskEntry(
        heads={"seq2seq-lm": "seq2seq-lm"},
        make=TableAnswerPipeline,
        suggestion="microsoft/tapex-base-finetuned-wtq",
    ),
    "text-classification": TaskEntry(
        heads={"sequence-classification": "sequence-classification"},
        make=_labels,
        suggestion="distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    ),
    "text-generation": TaskEntry(
        heads={"causal-lm": "causal-lm"},
        make=TextGenerationPipeline,
        suggestion="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
    "text-ranking": TaskEntry(
        heads={"sequence-classification": "sequence-classification", "base": "base"},
        make=TextRankingPipeline,
        suggestion="cross-encoder/ms-marco-MiniLM-L6-v2",
    ),
    "text2text-generation": TaskEntry(
        heads={"seq2seq-lm": "seq2seq-lm"}, make=Text2TextPipeline, suggestion="google/flan-t5-small"
    ),
    "token-classification": TaskEntry(
        heads={"token-classification": "token-classification"}, make=_tokens, suggestion="dslim/bert-base-NER"
    ),
    "translation": TaskEntry(
        heads={"seq2seq-lm": "seq2seq-lm"}, make=TranslationPipeline, suggestion="Helsinki-NLP/opus-mt-en-fr"
    ),
    "zero-shot-classification": TaskEntry(
        heads={"sequence-classification": "sequence-classification"},
        make=ZeroShotPipeline,
        suggestion="facebook/bart-large-mnli",
    ),
}
_ALIASES: Mapping[str, str] = {"ner": "token-classification", "sentiment-analysis": "text-classification"}


_DEFAULTS: Mapping[Head, str] = {
    "causal-lm": "text-generation",
    "seq2seq-lm": "text2text-generation",
    "masked-lm": "fill-mask",
    "pretraining": "fill-mask",
    "sequence-classification": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "base": "feature-extraction",
    "text-encoding": "feature-extraction",
}
"""The task of a checkpoint for whoever names none, by its head."""


@cache
def tasks() -> Mapping[str, TaskEntry]:
    """Every task by name. A package adds one by an entry point in the group "hf_pipelines.tasks" that names a
    TaskEntry; it cannot replace one of this package.
    """
    added = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    taken = [name for name in added if name in _OWN or name in _ALIASES]
    if taken:
        package = added[taken[0]].dist
        raise OptionValueError(
            f"the package {package.name if package else '?'} adds the task {taken[0]!r} a second time",
            fix="uninstall that package, or let it choose another name",
        )
    return {**_OWN, **{name: point.load() for name, point in added.items()}}


def task_name(task: str) -> str:
    """The full name of a task, aliases resolved. Raises UnknownTaskError with the nearest names."""
    name = "translation" if named_languages(task) else _ALIASES.get(task, task)
    if name in tasks():
        return name
    known = sorted({*tasks(), *_ALIASES})
    raise UnknownTaskError(task, difflib.get_close_matches(task, known, n=3), known)


def head_choice(task: str) -> HeadChoice:
    """Picks the head to load for a task, or raises TaskMismatchError naming what the checkpoint can do."""
    heads = tasks()[task].heads

    def choose(checkpoint: str, architectures: Sequence[str], have: Sequence[Head]) -> Head:
        for head in have:
            if head in heads:
                return heads[head]
        if "base" in heads:
            return "base"
        if not architectures:
            # The checkpoint does not say; strict loading will tell whether the head is there.
            return next(iter(heads.values()))
        raise TaskMismatchError(task, checkpoint, architectures, tasks_for(have))

    return choose


def tasks_for(heads: Sequence[Head]) -> list[str]:
    """The tasks that a checkpoint with these heads can do."""
    return sorted(
        name
        for name, entry in tasks().items()
        if "base" in entry.heads or any(h in entry.heads for h in heads)
    )


def default_task(checkpoint: str, architectures: Sequence[str], heads: Sequence[Head]) -> str:
    """The task that a checkpoint with these heads is mostly used for. Raises OptionValueError if there is none."""
    for head in heads:
        if head in _DEFAULTS:
            return _DEFAULTS[head]
    held = ", ".join(architectures) or "no class in its config.json"
    raise OptionValueError(
        f"{checkpoint} names {held}, from which no task follows",
        fix=f"name one: {', '.join(sorted(tasks()))}",
    )
