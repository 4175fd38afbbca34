"""`text2text-generation` and `summarization`: a text in, a text out."""

from __future__ import annotations

from typing import ClassVar, final

from hf_pipelines.records import GeneratedText, SummaryText
from hf_pipelines.tasks.seq2seq import Seq2SeqPipeline


@final
class Text2TextPipeline(Seq2SeqPipeline[GeneratedText]):
    """What an encoder-decoder answers to a text."""

    task: ClassVar[str] = "text2text-generation"

    def _record(self, text: str) -> GeneratedText:
        return {"generated_text": text}


@final
class SummarizationPipeline(Seq2SeqPipeline[SummaryText]):
    """A short text that says what a long one does."""

    task: ClassVar[str] = "summarization"

    def _record(self, text: str) -> SummaryText:
        return {"summary_text": text}
