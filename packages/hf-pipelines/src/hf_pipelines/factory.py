"""`pipeline`: from the name of a task to its typed pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Required, Unpack, cast, overload

from hf_pipelines.entities import GroupStrategy
from hf_pipelines.load import LoadOptions, ModelArg, load_parts
from hf_pipelines.registry import AnyPipeline, head_choice, task_name, tasks
from hf_pipelines.tasks.embedding import EmbeddingOptions, EmbeddingPipeline, PoolingArg
from hf_pipelines.tasks.feature_extraction import FeatureExtractionPipeline
from hf_pipelines.tasks.fill_mask import FillMaskOptions, FillMaskPipeline
from hf_pipelines.tasks.question_answering import AnswerOptions, QuestionAnsweringPipeline
from hf_pipelines.tasks.sentence_similarity import SentenceSimilarityPipeline
from hf_pipelines.tasks.text_classification import ClassificationOptions, TextClassificationPipeline
from hf_pipelines.tasks.text_ranking import RankingOptions, TextRankingPipeline
from hf_pipelines.tasks.token_classification import (
    EntityOptions,
    EntityPipeline,
    TokenClassificationPipeline,
    TokenOptions,
)
from hf_pipelines.tasks.zero_shot import ZeroShotOptions, ZeroShotPipeline
from hf_pipelines.text import TextOptions


class FeatureArgs(LoadOptions, TextOptions, total=False):
    """Arguments of `pipeline("feature-extraction", ...)`."""


class EmbeddingArgs(LoadOptions, EmbeddingOptions, total=False):
    """Arguments of `pipeline("feature-extraction", ..., pooling=...)`."""

    pooling: Required[PoolingArg]


class SimilarityArgs(LoadOptions, EmbeddingOptions, total=False):
    """Arguments of `pipeline("sentence-similarity", ...)`."""

    pooling: PoolingArg


class FillMaskArgs(LoadOptions, FillMaskOptions, total=False):
    """Arguments of `pipeline("fill-mask", ...)`."""


class AnswerArgs(LoadOptions, AnswerOptions, total=False):
    """Arguments of `pipeline("question-answering", ...)`."""


class ClassificationArgs(LoadOptions, ClassificationOptions, total=False):
    """Arguments of `pipeline("text-classification", ...)`."""


class RankingArgs(LoadOptions, RankingOptions, total=False):
    """Arguments of `pipeline("text-ranking", ...)`."""


class TokenArgs(LoadOptions, TokenOptions, total=False):
    """Arguments of `pipeline("token-classification", ...)`."""

    aggregation_strategy: Literal["none"]


class EntityArgs(LoadOptions, EntityOptions, total=False):
    """Arguments of `pipeline("token-classification", ..., aggregation_strategy=...)`."""

    aggregation_strategy: Required[GroupStrategy]


class ZeroShotArgs(LoadOptions, ZeroShotOptions, total=False):
    """Arguments of `pipeline("zero-shot-classification", ...)`."""


@overload
def pipeline(
    task: Literal["feature-extraction"], model: ModelArg, **options: Unpack[EmbeddingArgs]
) -> EmbeddingPipeline: ...
@overload
def pipeline(
    task: Literal["feature-extraction"], model: ModelArg, **options: Unpack[FeatureArgs]
) -> FeatureExtractionPipeline: ...
@overload
def pipeline(
    task: Literal["sentence-similarity"], model: ModelArg, **options: Unpack[SimilarityArgs]
) -> SentenceSimilarityPipeline: ...
@overload
def pipeline(
    task: Literal["text-ranking"], model: ModelArg, **options: Unpack[RankingArgs]
) -> TextRankingPipeline: ...
@overload
def pipeline(
    task: Literal["fill-mask"], model: ModelArg, **options: Unpack[FillMaskArgs]
) -> FillMaskPipeline: ...
@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"],
    model: ModelArg,
    **options: Unpack[ClassificationArgs],
) -> TextClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"], model: ModelArg, **options: Unpack[EntityArgs]
) -> EntityPipeline: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"], model: ModelArg, **options: Unpack[TokenArgs]
) -> TokenClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["question-answering"], model: ModelArg, **options: Unpack[AnswerArgs]
) -> QuestionAnsweringPipeline: ...
@overload
def pipeline(
    task: Literal["zero-shot-classification"], model: ModelArg, **options: Unpack[ZeroShotArgs]
) -> ZeroShotPipeline: ...
@overload
def pipeline(task: str, model: ModelArg, **options: object) -> AnyPipeline: ...
def pipeline(task: str, model: ModelArg, **options: Any) -> AnyPipeline:
    """The pipeline of a task on a model: a Hub id, a local folder, or a loaded model with a `tokenizer`.

    Options that load (LoadOptions) and options of the task go side by side; the latter become defaults of
    every call. Raises UnknownTaskError, TaskMismatchError if the checkpoint has no head for the task,
    UnknownOptionError, and what loading raises.
    """
    name = task_name(task)
    entry = tasks()[name]
    loading, rest = _split(options)
    parts = load_parts(model, head_choice(name), loading)
    return entry.make(parts, rest)


def _split(options: Mapping[str, Any]) -> tuple[LoadOptions, dict[str, Any]]:
    """Options that load, and those of the task."""
    loading = {name: value for name, value in options.items() if name in LoadOptions.__optional_keys__}
    rest = {name: value for name, value in options.items() if name not in loading}
    return cast(LoadOptions, loading), rest
