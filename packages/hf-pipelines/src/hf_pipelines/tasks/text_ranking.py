"""`text-ranking`: documents in the order in which they answer a query.

A checkpoint with a classification head reads query and document together (a cross-encoder); any other gives
vectors that are compared (a bi-encoder).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Unpack, final, overload

import torch
from torch import Tensor
from torch.nn import functional

from hf_pipelines.base import Inputs, Pipeline, Results
from hf_pipelines.errors import EmptyInputError, InputTypeError, OptionValueError, PoolingError
from hf_pipelines.load import Parts
from hf_pipelines.records import RankedDocument, RankQuery
from hf_pipelines.tasks.embedding import Embedder, EmbeddingOptions, make_embedder, sentence_head
from hf_pipelines.tasks.text_classification import ScoreFunction, apply_scores, check_top_k
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model


class RankingOptions(TextOptions, total=False):
    """Options of `text-ranking`.

    top_k: how many documents to return (default None: all of them).
    function_to_apply: what turns a cross-encoder's logit into a score, "sigmoid" or "none" (default: what the
        checkpoint says, else "sigmoid").
    """

    top_k: int | None
    function_to_apply: ScoreFunction


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """A text to run, the query or a document; `document` is the document it stands for, "" for the query."""

    row: TokenRow
    document: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderTask:
    """One call of `text-ranking` with a cross-encoder: a row for each pair of query and document."""

    text: TextModel
    truncation: bool
    top_k: int | None
    function: ScoreFunction

    def preprocess(self, inputs: Sequence[RankQuery]) -> list[list[RankRow]]:
        """A row for each document of each query."""
        for item in inputs:
            check_query(self.text.task, item)
        pairs = [(item["query"], document) for item in inputs for document in item["documents"]]
        rows = iter(self.text.pair_rows(pairs, truncation=self.truncation))
        return [[RankRow(row=next(rows), document=text) for text in item["documents"]] for item in inputs]

    def length(self, chunk: RankRow) -> int:
        """Tokens."""
        return len(chunk.row)

    def forward(self, chunks: Sequence[RankRow]) -> Sequence[Tensor]:
        """One score for each row."""
        logits = self.text.logits(self.text.batch([chunk.row for chunk in chunks]))
        return apply_scores(logits[:, 0], self.function).unbind()

    def postprocess(self, chunks: Sequence[RankRow], raws: Sequence[Tensor]) -> list[RankedDocument]:
        """The documents, best first."""
        return ranked([chunk.document for chunk in chunks], torch.stack(list(raws)), self.top_k)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BiEncoderTask:
    """One call of `text-ranking` with an embedding model: the query is the first row of an input."""

    embedder: Embedder
    top_k: int | None

    def preprocess(self, inputs: Sequence[RankQuery]) -> list[list[RankRow]]:
        """A row for the query, then one for each document."""
        for item in inputs:
            check_query(self.embedder.text.task, item)
        texts = [text for item in inputs for text in (item["query"], *item["documents"])]
        rows = iter(self.embedder.rows(texts))
        return [
            [
                RankRow(row=next(rows), document=""),
                *(RankRow(row=next(rows), document=text) for text in item["documents"]),
            ]
            for item in inputs
        ]

    def length(self, chunk: RankRow) -> int:
        """Tokens."""
        return len(chunk.row)

    def forward(self, chunks: Sequence[RankRow]) -> Sequence[Tensor]:
        """One vector for each row."""
        return self.embedder.vectors([chunk.row for chunk in chunks]).unbind()

    def postprocess(self, chunks: Sequence[RankRow], raws: Sequence[Tensor]) -> list[RankedDocument]:
        """The documents, best first."""
        scores = functional.cosine_similarity(raws[0].unsqueeze(0), torch.stack(list(raws[1:])))
        return ranked([chunk.document for chunk in chunks[1:]], scores, self.top_k)


def check_query(task: str, item: object) -> None:
    """Raise InputTypeError or EmptyInputError for what is not a query with documents."""
    if not isinstance(item, dict) or item.keys() != {"query", "documents"}:
        raise InputTypeError(task, "{'query': ..., 'documents': [...]}", item)
    if not item["documents"]:
        raise EmptyInputError("there are no documents to rank", fix="give at least one in 'documents'")


def ranked(documents: Sequence[str], scores: Tensor, top_k: int | None) -> list[RankedDocument]:
    """Documents with their scores, best first; equal scores keep the given order."""
    order = scores.argsort(descending=True, stable=True).tolist()
    return [
        {"corpus_id": place, "score": float(scores[place]), "text": documents[place]}
        for place in order[:top_k]
    ]


@final
class TextRankingPipeline(Pipeline[RankQuery, list[RankedDocument], RankingOptions]):
    """Documents with scores, best first, for {"query": ..., "documents": [...]}."""

    task: ClassVar[str] = "text-ranking"
    option_names: ClassVar[frozenset[str]] = RankingOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object]) -> None:
        super().__init__(parts, defaults)
        self._crosses = parts.model.task == "sequence-classification"
        if self._crosses and parts.model.config.num_labels != 1:
            raise OptionValueError(
                f"the checkpoint has {parts.model.config.num_labels} labels, so its scores have no order",
                fix="choose a cross-encoder with one label, or an embedding model",
            )
        self._head = None if self._crosses else sentence_head(parts, "auto")

    @overload
    def __call__(self, inputs: RankQuery, **options: Unpack[RankingOptions]) -> list[RankedDocument]: ...
    @overload
    def __call__(
        self, inputs: list[RankQuery], **options: Unpack[RankingOptions]
    ) -> list[list[RankedDocument]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[RankQuery], **options: Unpack[RankingOptions]
    ) -> Iterator[list[RankedDocument]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[RankQuery], **options: Unpack[RankingOptions]
    ) -> AsyncIterator[list[RankedDocument]]: ...
    def __call__(
        self, inputs: Inputs[RankQuery], **options: Unpack[RankingOptions]
    ) -> Results[list[RankedDocument]]:
        """Rankings for one query with documents, a list, or a stream of them."""
        return self._run(inputs, options)

    def _task(self, options: RankingOptions) -> CrossEncoderTask | BiEncoderTask:
        top_k = options.get("top_k")
        check_top_k(top_k)
        truncation = options.get("truncation", False)
        if self._head is not None:
            if "function_to_apply" in options:
                raise OptionValueError(
                    "function_to_apply is for cross-encoders, and this checkpoint gives vectors",
                    fix="leave it out",
                )
            embedding: EmbeddingOptions = {"truncation": truncation}
            return BiEncoderTask(
                embedder=make_embedder(self.task, self.parts, self._head, embedding), top_k=top_k
            )
        return CrossEncoderTask(
            text=text_model(self.task, self.parts),
            truncation=truncation,
            top_k=top_k,
            function=options.get("function_to_apply", self._declared_function()),
        )

    def _declared_function(self) -> ScoreFunction:
        """What sentence-transformers wrote into config.json when the cross-encoder was made."""
        config = self.model.config.to_dict()
        section = config.get("sentence_transformers")
        named = section.get("activation_fn") if isinstance(section, dict) else None
        named = named or config.get("sbert_ce_default_activation_function")
        match str(named).rpartition(".")[2]:
            case "Identity":
                return "none"
            case "Sigmoid" | "None":
                return "sigmoid"
            case unknown:
                raise PoolingError(
                    f"config.json asks for the activation {unknown!r}",
                    fix='pass function_to_apply="sigmoid" or "none"',
                )

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, dict)
