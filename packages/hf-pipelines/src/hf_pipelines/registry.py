"""Which tasks there are: those of this package, and those that installed packages add by entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeAlias, final

from hf_modeling.families.family import Task as Head
from hf_pipelines.errors import OptionValueError, UnknownTaskError
from hf_pipelines.load import Parts
from hf_pipelines.pipeline import Pipeline
from hf_pipelines.tasks.embedding import EmbeddingPipeline
from hf_pipelines.tasks.feature_extraction import FeatureExtractionPipeline
from hf_pipelines.tasks.fill_mask import FillMaskPipeline
from hf_pipelines.tasks.question_answering import QuestionAnsweringPipeline
from hf_pipelines.tasks.sentence_similarity import SentenceSimilarityPipeline
from hf_pipelines.tasks.text_classification import TextClassificationPipeline
from hf_pipelines.tasks.text_generation import TextGenerationPipeline
from hf_pipelines.tasks.text_ranking import TextRankingPipeline
from hf_pipelines.tasks.token_classification import EntityPipeline, TokenClassificationPipeline
from hf_pipelines.tasks.zero_shot import ZeroShotPipeline

AnyPipeline: TypeAlias = Pipeline[Any, Any, Any]
ENTRY_POINTS = "hf_pipelines.tasks"


@final
@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A task: the heads that can do it, the best first, and what makes its pipeline from parts and options.

    A task whose heads include "base" works on any checkpoint, whatever head it was trained with.
    """

    heads: tuple[Head, ...]
    make: Callable[[Parts, Mapping[str, Any]], AnyPipeline]


def _features(parts: Parts, options: Mapping[str, Any]) -> AnyPipeline:
    rest = {name: value for name, value in options.items() if name != "pooling"}
    if "pooling" in options:
        return EmbeddingPipeline(parts, rest, pooling=options["pooling"])
    return FeatureExtractionPipeline(parts, rest)


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
    "feature-extraction": TaskEntry(heads=("base",), make=_features),
    "fill-mask": TaskEntry(heads=("masked-lm", "pretraining"), make=FillMaskPipeline),
    "question-answering": TaskEntry(heads=("question-answering",), make=QuestionAnsweringPipeline),
    "sentence-similarity": TaskEntry(heads=("base",), make=_similarity),
    "text-classification": TaskEntry(heads=("sequence-classification",), make=TextClassificationPipeline),
    "text-generation": TaskEntry(heads=("causal-lm",), make=TextGenerationPipeline),
    "text-ranking": TaskEntry(heads=("sequence-classification", "base"), make=TextRankingPipeline),
    "token-classification": TaskEntry(heads=("token-classification",), make=_tokens),
    "zero-shot-classification": TaskEntry(heads=("sequence-classification",), make=ZeroShotPipeline),
}
_ALIASES: Mapping[str, str] = {"ner": "token-classification", "sentiment-analysis": "text-classification"}


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
    name = _ALIASES.get(task, task)
    if name in tasks():
        return name
    known = sorted({*tasks(), *_ALIASES})
    raise UnknownTaskError(task, difflib.get_close_matches(task, known, n=3), known)


def tasks_for(head: Head) -> list[str]:
    """The tasks that a checkpoint with this head can do."""
    return sorted(name for name, entry in tasks().items() if head in entry.heads or "base" in entry.heads)
