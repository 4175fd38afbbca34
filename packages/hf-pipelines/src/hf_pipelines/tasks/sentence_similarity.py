"""`sentence-similarity`: how close sentences are in meaning to one sentence."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Unpack, final, overload

import torch
from torch import Tensor
from torch.nn import functional

from hf_pipelines.base import Inputs, Pipeline, Results
from hf_pipelines.errors import EmptyInputError, InputTypeError
from hf_pipelines.load import Parts
from hf_pipelines.records import SentencePairs
from hf_pipelines.tasks.embedding import Embedder, EmbeddingOptions, PoolingArg, make_embedder, sentence_head
from hf_pipelines.text import TokenRow


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityTask:
    """One call of `sentence-similarity`: the source is the first chunk of an input."""

    task: str
    embedder: Embedder

    def preprocess(self, inputs: Sequence[SentencePairs]) -> list[list[TokenRow]]:
        """A row for the source, then one for each sentence."""
        for item in inputs:
            self._check(item)
        texts = [text for item in inputs for text in (item["source_sentence"], *item["sentences"])]
        rows = iter(self.embedder.rows(texts))
        return [[next(rows) for _ in range(1 + len(item["sentences"]))] for item in inputs]

    def length(self, chunk: TokenRow) -> int:
        """Tokens."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> Sequence[Tensor]:
        """One vector for each row."""
        return self.embedder.vectors(chunks).unbind()

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[Tensor]) -> list[float]:
        """The cosine of the source with each sentence, in their order."""
        source, sentences = raws[0], torch.stack(list(raws[1:]))
        cosines: list[float] = functional.cosine_similarity(source.unsqueeze(0), sentences).tolist()
        return cosines

    def _check(self, item: object) -> None:
        if not isinstance(item, dict) or item.keys() != {"source_sentence", "sentences"}:
            raise InputTypeError(self.task, "{'source_sentence': ..., 'sentences': [...]}", item)
        if not item["sentences"]:
            raise EmptyInputError(
                "there are no sentences to compare with", fix="give at least one in 'sentences'"
            )


@final
class SentenceSimilarityPipeline(Pipeline[SentencePairs, list[float], EmbeddingOptions]):
    """Cosine similarities, -1 to 1, of a source sentence with each of several sentences."""

    task: ClassVar[str] = "sentence-similarity"
    option_names: ClassVar[frozenset[str]] = EmbeddingOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object], *, pooling: PoolingArg = "auto") -> None:
        super().__init__(parts, defaults)
        self.head = sentence_head(parts, pooling)

    @overload
    def __call__(self, inputs: SentencePairs, **options: Unpack[EmbeddingOptions]) -> list[float]: ...
    @overload
    def __call__(
        self, inputs: list[SentencePairs], **options: Unpack[EmbeddingOptions]
    ) -> list[list[float]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[SentencePairs], **options: Unpack[EmbeddingOptions]
    ) -> Iterator[list[float]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[SentencePairs], **options: Unpack[EmbeddingOptions]
    ) -> AsyncIterator[list[float]]: ...
    def __call__(
        self, inputs: Inputs[SentencePairs], **options: Unpack[EmbeddingOptions]
    ) -> Results[list[float]]:
        """Similarities for one {"source_sentence", "sentences"}, a list, or a stream of them."""
        return self._run(inputs, options)

    def _task(self, options: EmbeddingOptions) -> SimilarityTask:
        return SimilarityTask(
            task=self.task, embedder=make_embedder(self.task, self.parts, self.head, options)
        )

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, dict)
