"""What a caller's type checker sees for every task. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from torch import Tensor

from hf_pipelines import (
    Answer,
    ChatMessage,
    EmbeddingPipeline,
    EntityGroup,
    EntityPipeline,
    FailedItem,
    FeatureExtractionPipeline,
    FillMaskPipeline,
    GeneratedChat,
    GeneratedText,
    LabelScore,
    LabelScoresPipeline,
    QuestionAnsweringPipeline,
    RankedDocument,
    SentenceSimilarityPipeline,
    SummarizationPipeline,
    SummaryText,
    TableAnswer,
    TextClassificationPipeline,
    TextGenerationPipeline,
    TextRankingPipeline,
    TokenClassificationPipeline,
    TokenEntity,
    TranslationPipeline,
    TranslationText,
    ZeroShotLabels,
    ZeroShotPipeline,
    pipeline,
)
from hf_pipelines.records import TokenFeatures
from hf_pipelines.tasks.fill_mask import MaskFills

FOLDER = "checkpoint"


def texts() -> Iterator[str]:
    yield "one"


async def atexts() -> AsyncIterator[str]:
    yield "one"


def features() -> None:
    pipe = pipeline("feature-extraction", FOLDER)
    assert_type(pipe, FeatureExtractionPipeline)
    assert_type(pipe("text"), TokenFeatures)
    assert_type(pipe(["text"]), list[TokenFeatures])
    assert_type(pipe(texts()), Iterator[TokenFeatures])
    assert_type(pipe("text", return_tensors=True), Tensor)
    assert_type(pipe(["text"], return_tensors=True), list[Tensor])
    assert_type(pipe.stream(texts()), Iterator[TokenFeatures])


def embeddings() -> None:
    pipe = pipeline("feature-extraction", FOLDER, pooling="auto")
    assert_type(pipe, EmbeddingPipeline)
    assert_type(pipe("text"), Tensor)
    assert_type(pipe(["a", "b"], normalize=False), Tensor)
    assert_type(pipe(texts()), Iterator[Tensor])
    assert_type(pipe(atexts()), AsyncIterator[Tensor])
    assert_type(pipe.stream(["a"], on_error="yield"), Iterator[Tensor | FailedItem])
    assert_type(pipe.astream(atexts()), AsyncIterator[Tensor])


def generation() -> None:
    pipe = pipeline("text-generation", FOLDER)
    assert_type(pipe, TextGenerationPipeline)
    assert_type(pipe("prompt", max_new_tokens=3), list[GeneratedText])
    assert_type(pipe(["prompt"]), list[list[GeneratedText]])
    assert_type(pipe([{"role": "user", "content": "hello"}]), list[GeneratedChat])
    assert_type(pipe.stream_text("prompt"), Iterator[str])


def labels() -> None:
    pipe = pipeline("text-classification", FOLDER)
    assert_type(pipe, TextClassificationPipeline)
    assert_type(pipeline("sentiment-analysis", FOLDER), TextClassificationPipeline)
    assert_type(pipe("text"), list[LabelScore])
    assert_type(pipe({"text": "a", "text_pair": "b"}), LabelScore)
    assert_type(pipe(["text"]), list[LabelScore])
    assert_type(pipe("text", top_k=None), list[LabelScore])
    assert_type(pipe(["text"], top_k=2), list[list[LabelScore]])
    assert_type(pipe.stream(texts()), Iterator[LabelScore])
    scores = pipeline("text-classification", FOLDER, top_k=None)
    assert_type(scores, LabelScoresPipeline)
    assert_type(scores("text"), list[LabelScore])
    assert_type(scores(["text"]), list[list[LabelScore]])


def entities() -> None:
    tokens = pipeline("ner", FOLDER)
    assert_type(tokens, TokenClassificationPipeline)
    assert_type(tokens("text"), list[TokenEntity])
    assert_type(tokens("text", aggregation_strategy="none"), list[TokenEntity])
    assert_type(tokens("text", aggregation_strategy="max"), list[EntityGroup])
    groups = pipeline("token-classification", FOLDER, aggregation_strategy="simple")
    assert_type(groups, EntityPipeline)
    assert_type(groups("text"), list[EntityGroup])
    assert_type(groups(["text"], stride=16), list[list[EntityGroup]])


def answers() -> None:
    pipe = pipeline("question-answering", FOLDER)
    assert_type(pipe, QuestionAnsweringPipeline)
    assert_type(pipe(question="q", context="c"), Answer)
    assert_type(pipe({"question": "q", "context": "c"}), Answer)
    assert_type(pipe([{"question": "q", "context": "c"}]), list[Answer])
    assert_type(pipe({"question": "q", "context": "c"}, top_k=2), list[Answer])


def masks() -> None:
    pipe = pipeline("fill-mask", FOLDER)
    assert_type(pipe, FillMaskPipeline)
    assert_type(pipe("[MASK]", top_k=3), MaskFills)
    assert_type(pipe(["[MASK]"]), list[MaskFills])


def zero_shot() -> None:
    pipe = pipeline("zero-shot-classification", FOLDER, candidate_labels="a,b")
    assert_type(pipe, ZeroShotPipeline)
    assert_type(pipe("text", multi_label=True), ZeroShotLabels)
    assert_type(pipe(["text"], candidate_labels=["a"]), list[ZeroShotLabels])


def texts_from_texts() -> None:
    summarize = pipeline("summarization", FOLDER, num_beams=2)
    assert_type(summarize, SummarizationPipeline)
    assert_type(summarize("text"), list[SummaryText])
    assert_type(summarize(["text"], max_new_tokens=3), list[SummaryText])
    assert_type(summarize(texts()), Iterator[SummaryText])
    assert_type(summarize(atexts()), AsyncIterator[SummaryText])
    assert_type(summarize.answers(["text"], num_return_sequences=2), Iterator[list[SummaryText]])
    assert_type(summarize.stream_text("text"), Iterator[str])
    assert_type(pipeline("text2text-generation", FOLDER)("text"), list[GeneratedText])
    translate = pipeline("translation_en_to_fr", FOLDER)
    assert_type(translate, TranslationPipeline)
    assert_type(pipeline("translation", FOLDER, tgt_lang="fr")("text"), list[TranslationText])
    assert_type(translate(["text"], src_lang="en"), list[TranslationText])


def conversations_and_tables() -> None:
    talk = pipeline("conversational", FOLDER)
    assert_type(talk([{"role": "user", "content": "hello"}]), list[ChatMessage])
    ask = pipeline("table-question-answering", FOLDER)
    assert_type(ask({"table": {"a": ["b", 1]}, "query": "c"}), TableAnswer)
    assert_type(ask([{"table": {"a": ["b"]}, "query": "c"}]), list[TableAnswer])


def similarity() -> None:
    pipe = pipeline("sentence-similarity", FOLDER)
    assert_type(pipe, SentenceSimilarityPipeline)
    assert_type(pipe({"source_sentence": "a", "sentences": ["b"]}), list[float])


def ranking() -> None:
    pipe = pipeline("text-ranking", FOLDER)
    assert_type(pipe, TextRankingPipeline)
    assert_type(pipe({"query": "a", "documents": ["b"]}, top_k=1), list[RankedDocument])
    assert_type(pipe([{"query": "a", "documents": ["b"]}]), list[list[RankedDocument]])
