"""Typed task pipelines over Hugging Face checkpoints.

```python
from hf_pipelines import pipeline

embed = pipeline("feature-extraction", "sentence-transformers/all-MiniLM-L6-v2", pooling="auto")
vectors = embed(["How do I get my money back?", "What is the refund policy?"])
print(float(vectors[0] @ vectors[1]))
```
"""

from hf_pipelines.base import CallOptions, Pipeline
from hf_pipelines.errors import (
    EmptyInputError,
    InputTooLongError,
    InputTypeError,
    MissingTokenError,
    OptionValueError,
    PipelineError,
    PoolingError,
    TaskMismatchError,
    UnknownOptionError,
    UnknownTaskError,
)
from hf_pipelines.factory import pipeline, pipeline_for
from hf_pipelines.load import LoadOptions, Parts
from hf_pipelines.pooling import SentenceHead
from hf_pipelines.records import (
    Answer,
    ChatMessage,
    EntityGroup,
    GeneratedChat,
    GeneratedText,
    LabelScore,
    MaskFill,
    QuestionContext,
    RankedDocument,
    RankQuery,
    SentencePairs,
    SummaryText,
    TableAnswer,
    TableQuestion,
    TextPair,
    TokenEntity,
    TranslationText,
    ZeroShotLabels,
)
from hf_pipelines.registry import TaskEntry, task_name, tasks
from hf_pipelines.runner import FailedItem
from hf_pipelines.stats import RunStats
from hf_pipelines.task import Limits, Task
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
from hf_pipelines.tasks.translation import TranslationPipeline
from hf_pipelines.tasks.zero_shot import ZeroShotPipeline

__all__ = [
    "Answer",
    "CallOptions",
    "ChatMessage",
    "ConversationalPipeline",
    "EmbeddingPipeline",
    "EmptyInputError",
    "EntityGroup",
    "EntityPipeline",
    "FailedItem",
    "FeatureExtractionPipeline",
    "FillMaskPipeline",
    "GeneratedChat",
    "GeneratedText",
    "InputTooLongError",
    "InputTypeError",
    "LabelScore",
    "LabelScoresPipeline",
    "Limits",
    "LoadOptions",
    "MaskFill",
    "MissingTokenError",
    "OptionValueError",
    "Parts",
    "Pipeline",
    "PipelineError",
    "PoolingError",
    "QuestionAnsweringPipeline",
    "QuestionContext",
    "RankQuery",
    "RankedDocument",
    "RunStats",
    "SentenceHead",
    "SentencePairs",
    "SentenceSimilarityPipeline",
    "SummarizationPipeline",
    "SummaryText",
    "TableAnswer",
    "TableAnswerPipeline",
    "TableQuestion",
    "Task",
    "TaskEntry",
    "TaskMismatchError",
    "Text2TextPipeline",
    "TextClassificationPipeline",
    "TextGenerationPipeline",
    "TextPair",
    "TextRankingPipeline",
    "TokenClassificationPipeline",
    "TokenEntity",
    "TranslationPipeline",
    "TranslationText",
    "UnknownOptionError",
    "UnknownTaskError",
    "ZeroShotLabels",
    "ZeroShotPipeline",
    "pipeline",
    "pipeline_for",
    "task_name",
    "tasks",
]
