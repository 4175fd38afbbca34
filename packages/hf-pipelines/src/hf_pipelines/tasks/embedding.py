"""`feature-extraction` with pooling: one vector per text, as sentence-transformers gives.

Axes: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias, Unpack, final, overload

import torch
from torch import Tensor

from hf_pipelines.base import Inputs, Pipeline, Results, is_text
from hf_pipelines.errors import PoolingError
from hf_pipelines.load import Parts
from hf_pipelines.pooling import Pooling, SentenceHead, read_sentence_head
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model

PoolingArg: TypeAlias = Literal["auto"] | Pooling


class EmbeddingOptions(TextOptions, total=False):
    """Options of `feature-extraction` with pooling.

    normalize: scale vectors to length 1; by default as the checkpoint says, and True where it says nothing.
    prompt: a text put before every input; by default the checkpoint's, usually none.
    max_length: the most tokens of an input; by default what the checkpoint was made for.
    """

    normalize: bool
    prompt: str
    max_length: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """Rows of tokens to vectors: the encoder, and the head that pools."""

    text: TextModel
    head: SentenceHead
    truncation: bool
    unpooled: int

    def rows(self, texts: Sequence[str]) -> list[TokenRow]:
        """One row for each text, behind the prompt if there is one."""
        if self.head.prompt:
            self.text.check_texts(texts)
            texts = [self.head.prompt + text for text in texts]
        return self.text.rows(texts, truncation=self.truncation)

    def vectors(self, rows: Sequence[TokenRow]) -> Tensor:
        """Vectors [B, D] in float32 on the CPU."""
        batch = self.text.batch(rows)
        mask_BT = None
        if batch.attention_mask_BT is not None or self.unpooled:
            mask_BT = batch.mask_BT()
            mask_BT[:, : self.unpooled] = False
        return self.head(self.text.hidden(batch), mask_BT).cpu()


def make_embedder(task: str, parts: Parts, head: SentenceHead, options: EmbeddingOptions) -> Embedder:
    """The embedder of one call, with the head changed where the options say so."""
    head = replace(
        head,
        normalize=options.get("normalize", head.normalize),
        prompt=options.get("prompt", head.prompt),
    )
    limit = parts.limit
    asked = options.get("max_length")
    if asked is not None:
        limit = limit.tightened(asked, "the option max_length")
    elif head.max_tokens is not None:
        limit = limit.tightened(head.max_tokens, "sentence_bert_config.json; max_length=... overrides it")
    unpooled = 0
    if head.prompt and not head.pool_prompt:
        # The prompt's own tokens, without the end token that only closes it when it stands alone.
        unpooled = len(parts.tokenizer(head.prompt)["input_ids"]) - 1
    text = text_model(task, parts, limit)
    return Embedder(text=text, head=head, truncation=options.get("truncation", False), unpooled=unpooled)


def sentence_head(parts: Parts, pooling: PoolingArg) -> SentenceHead:
    """The head that the checkpoint describes, or plain pooling. Raises PoolingError if it describes none."""
    if pooling != "auto":
        return SentenceHead(modes=(pooling,))
    head = None if parts.repo is None else read_sentence_head(parts.repo)
    if head is None:
        raise PoolingError(
            "the checkpoint does not say how to pool (it has no modules.json)",
            fix="pass pooling='mean', or 'cls', whichever it was trained with",
        )
    return head


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingTask:
    """One call of `feature-extraction` with pooling."""

    embedder: Embedder

    def preprocess(self, inputs: Sequence[str]) -> list[list[TokenRow]]:
        """One row for each text."""
        return [[row] for row in self.embedder.rows(inputs)]

    def length(self, chunk: TokenRow) -> int:
        """Tokens."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> Sequence[Tensor]:
        """One vector [D] for each row."""
        return self.embedder.vectors(chunks).unbind()

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[Tensor]) -> Tensor:
        """The vector of one text."""
        return raws[0]


@final
class EmbeddingPipeline(Pipeline[str, Tensor, EmbeddingOptions]):
    """One float32 vector [width] for a text, one matrix [texts, width] for a list of them.

    Pooling, normalisation, prompt and length are the checkpoint's own (`modules.json`), or as asked for.
    """

    task: ClassVar[str] = "feature-extraction"
    option_names: ClassVar[frozenset[str]] = EmbeddingOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object], *, pooling: PoolingArg = "auto") -> None:
        super().__init__(parts, defaults)
        self.head = sentence_head(parts, pooling)

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        if self.head.dense:
            return self.head.dense[-1].weight_OD.shape[0]
        # Configurations call the width of a model by many names; the model itself cannot be wrong.
        return len(self("a"))

    @overload
    def __call__(self, inputs: str | list[str], **options: Unpack[EmbeddingOptions]) -> Tensor: ...
    @overload
    def __call__(self, inputs: Iterator[str], **options: Unpack[EmbeddingOptions]) -> Iterator[Tensor]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[EmbeddingOptions]
    ) -> AsyncIterator[Tensor]: ...
    def __call__(self, inputs: Inputs[str], **options: Unpack[EmbeddingOptions]) -> Results[Tensor]:
        """The vector of one text, the matrix of a list, or vectors one by one for a stream."""
        results = self._run(inputs, options)
        if isinstance(results, list):
            return torch.stack(results) if results else torch.empty(0, self.dimension)
        return results

    def _task(self, options: EmbeddingOptions) -> EmbeddingTask:
        return EmbeddingTask(embedder=make_embedder(self.task, self.parts, self.head, options))

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)
