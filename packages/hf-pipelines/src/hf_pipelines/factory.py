"""`pipeline`: from the name of a task to its typed pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Required, TypeAlias, Unpack, cast, overload

from hf_pipelines.entities import GroupStrategy
from hf_pipelines.errors import OptionValueError
from hf_pipelines.load import LoadOptions, ModelArg, architectures_of, load_parts
from hf_pipelines.registry import AnyPipeline, default_task, head_choice, task_name, tasks
from hf_pipelines.tasks.conversational import ConversationalPipeline, ConversationOptions
from hf_pipelines.tasks.embedding import EmbeddingOptions, EmbeddingPipeline, PoolingArg
from hf_pipelines.tasks.feature_extraction import FeatureExtractionPipeline
from hf_pipelines.tasks.fill_mask import FillMaskOptions, FillMaskPipeline
from hf_pipelines.tasks.question_answering import AnswerOptions, QuestionAnsweringPipeline
from hf_pipelines.tasks.sentence_similarity import SentenceSimilarityPipeline
from hf_pipelines.tasks.seq2seq import Seq2SeqOptions
from hf_pipelines.tasks.table_answers import TableAnswerPipeline, TableOptions
from hf_pipelines.tasks.text2text import SummarizationPipeline, Text2TextPipeline
from hf_pipelines.tasks.text_classification import (
    ClassificationOptions,
    LabelScoresPipeline,
    TextClassificationPipeline,
)
from hf_pipelines.tasks.text_generation import GenerationOptions, TextGenerationPipeline
from hf_pipelines.tasks.text_ranking import RankingOptions, TextRankingPipeline
from hf_pipelines.tasks.token_classification import (
    EntityOptions,
    EntityPipeline,
    TokenClassificationPipeline,
    TokenOptions,
)
from hf_pipelines.tasks.translation import TranslationOptions, TranslationPipeline, named_languages
from hf_pipelines.tasks.zero_shot import ZeroShotOptions, ZeroShotPipeline
from hf_pipelines.text import TextOptions

NamedTranslation: TypeAlias = Literal[
    "translation_en_to_de",
    "translation_en_to_fr",
    "translation_en_to_ro",
    "translation_de_to_en",
    "translation_fr_to_en",
]
"""Pairs that a type checker knows by name; `pipeline_for`, or the options of "translation", take any."""


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


class LabelScoresArgs(LoadOptions, ClassificationOptions, total=False):
    """Arguments of `pipeline("text-classification", ..., top_k=...)`."""

    top_k: Required[int | None]


class GenerationArgs(LoadOptions, GenerationOptions, total=False):
    """Arguments of `pipeline("text-generation", ...)`."""


class ConversationArgs(LoadOptions, ConversationOptions, total=False):
    """Arguments of `pipeline("conversational", ...)`."""


class Seq2SeqArgs(LoadOptions, Seq2SeqOptions, total=False):
    """Arguments of `pipeline("text2text-generation", ...)` and `pipeline("summarization", ...)`."""


class TranslationArgs(LoadOptions, TranslationOptions, total=False):
    """Arguments of `pipeline("translation", ...)`."""


class RankingArgs(LoadOptions, RankingOptions, total=False):
    """Arguments of `pipeline("text-ranking", ...)`."""


class TableArgs(LoadOptions, TableOptions, total=False):
    """Arguments of `pipeline("table-question-answering", ...)`."""


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
    task: Literal["feature-extraction"], model: ModelArg | None = None, **options: Unpack[EmbeddingArgs]
) -> EmbeddingPipeline: ...
@overload
def pipeline(
    task: Literal["feature-extraction"], model: ModelArg | None = None, **options: Unpack[FeatureArgs]
) -> FeatureExtractionPipeline: ...
@overload
def pipeline(
    task: Literal["sentence-similarity"], model: ModelArg | None = None, **options: Unpack[SimilarityArgs]
) -> SentenceSimilarityPipeline: ...
@overload
def pipeline(
    task: Literal["text-ranking"], model: ModelArg | None = None, **options: Unpack[RankingArgs]
) -> TextRankingPipeline: ...
@overload
def pipeline(
    task: Literal["text-generation"], model: ModelArg | None = None, **options: Unpack[GenerationArgs]
) -> TextGenerationPipeline: ...
@overload
def pipeline(
    task: Literal["fill-mask"], model: ModelArg | None = None, **options: Unpack[FillMaskArgs]
) -> FillMaskPipeline: ...
@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"],
    model: ModelArg | None = None,
    **options: Unpack[LabelScoresArgs],
) -> LabelScoresPipeline: ...
@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"],
    model: ModelArg | None = None,
    **options: Unpack[ClassificationArgs],
) -> TextClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"], model: ModelArg | None = None, **options: Unpack[EntityArgs]
) -> EntityPipeline: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"], model: ModelArg | None = None, **options: Unpack[TokenArgs]
) -> TokenClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["question-answering"], model: ModelArg | None = None, **options: Unpack[AnswerArgs]
) -> QuestionAnsweringPipeline: ...
@overload
def pipeline(
    task: Literal["zero-shot-classification"], model: ModelArg | None = None, **options: Unpack[ZeroShotArgs]
) -> ZeroShotPipeline: ...
@overload
def pipeline(
    task: Literal["conversational"], model: ModelArg | None = None, **options: Unpack[ConversationArgs]
) -> ConversationalPipeline: ...
@overload
def pipeline(
    task: Literal["text2text-generation"], model: ModelArg | None = None, **options: Unpack[Seq2SeqArgs]
) -> Text2TextPipeline: ...
@overload
def pipeline(
    task: Literal["summarization"], model: ModelArg | None = None, **options: Unpack[Seq2SeqArgs]
) -> SummarizationPipeline: ...
@overload
def pipeline(
    task: Literal["translation"] | NamedTranslation,
    model: ModelArg | None = None,
    **options: Unpack[TranslationArgs],
) -> TranslationPipeline: ...
@overload
def pipeline(
    task: Literal["table-question-answering"], model: ModelArg | None = None, **options: Unpack[TableArgs]
) -> TableAnswerPipeline: ...
@overload
def pipeline(task: None = None, *, model: ModelArg, **options: Unpack[LoadOptions]) -> AnyPipeline: ...
def pipeline(task: str | None = None, model: ModelArg | None = None, **options: Any) -> AnyPipeline:
    """The pipeline of a task on a model: a Hub id, a local folder, or a loaded model with a `tokenizer`.

    Without a task it is the one that the checkpoint's head is mostly used for.

    Options that load (LoadOptions) and options of the task go side by side; the latter become defaults of every
    call. Raises UnknownTaskError, TaskMismatchError if the checkpoint has no head for the task, UnknownOptionError,
    and what loading raises. For a task whose name is only known at run time see `pipeline_for`.
    """
    return pipeline_for(task, model, options)


def pipeline_for(task: str | None, model: ModelArg | None, options: Mapping[str, Any]) -> AnyPipeline:
    """`pipeline` for names that a type checker cannot know. Raises the same errors."""
    loading = {name: value for name, value in options.items() if name in LoadOptions.__optional_keys__}
    if task is None:
        if model is None:
            raise OptionValueError("neither a task nor a model was named", fix="name at least a model")
        task = default_task(*architectures_of(model, cast(LoadOptions, loading)))
    name = task_name(task)
    entry = tasks()[name]
    if model is None:
        raise OptionValueError(
            "no model was named", fix=f"a common one: pipeline({task!r}, {entry.suggestion!r})"
        )
    rest = {name: value for name, value in options.items() if name not in loading}
    rest = {**named_languages(task), **rest}
    return entry.make(load_parts(model, head_choice(name), cast(LoadOptions, loading)), rest)
