"""`feature-extraction`: the hidden state of every token.

Axes: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Literal, TypeVar, Unpack, final, overload

from torch import Tensor

from hf_pipelines.base import Inputs, Pipeline, Results, is_text
from hf_pipelines.load import Parts
from hf_pipelines.records import TokenFeatures
from hf_pipelines.task import default_limits
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model

Features = TypeVar("Features")
LOOKAHEAD = 128


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTask(Generic[Features]):
    """One call of `feature-extraction`; `finish` gives the tensor [1, T, D] its final form."""

    text: TextModel
    truncation: bool
    finish: Callable[[Tensor], Features]

    def preprocess(self, inputs: Sequence[str]) -> list[list[TokenRow]]:
        """One row for each text."""
        return [[row] for row in self.text.rows(inputs, truncation=self.truncation)]

    def length(self, chunk: TokenRow) -> int:
        """Tokens."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> list[Tensor]:
        """Hidden states [1, T, D] of each row, without padding."""
        hidden_BTD = self.text.hidden(self.text.batch(chunks)).float().cpu()
        return [hidden_BTD[place : place + 1, : len(row)] for place, row in enumerate(chunks)]

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[Tensor]) -> Features:
        """The features of one text."""
        return self.finish(raws[0])


def _nested(features_1TD: Tensor) -> TokenFeatures:
    nested: TokenFeatures = features_1TD.tolist()
    return nested


@final
class FeatureExtractionPipeline(Pipeline[str, TokenFeatures, TextOptions]):
    """The last hidden state of every token: nested lists [1, tokens, width], or a tensor of that shape.

    For one vector per text pass `pooling` to `pipeline`, which then gives an EmbeddingPipeline.
    """

    task: ClassVar[str] = "feature-extraction"
    option_names: ClassVar[frozenset[str]] = TextOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object]) -> None:
        # Results are large and wait for those before them, so fewer are computed out of order.
        limits = default_limits(parts.model.device)
        super().__init__(parts, defaults, limits=replace(limits, lookahead=LOOKAHEAD))

    @overload
    def __call__(
        self, inputs: str, *, return_tensors: Literal[True], **options: Unpack[TextOptions]
    ) -> Tensor: ...
    @overload
    def __call__(
        self, inputs: list[str], *, return_tensors: Literal[True], **options: Unpack[TextOptions]
    ) -> list[Tensor]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], *, return_tensors: Literal[True], **options: Unpack[TextOptions]
    ) -> Iterator[Tensor]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], *, return_tensors: Literal[True], **options: Unpack[TextOptions]
    ) -> AsyncIterator[Tensor]: ...
    @overload
    def __call__(
        self, inputs: str, *, return_tensors: Literal[False] = ..., **options: Unpack[TextOptions]
    ) -> TokenFeatures: ...
    @overload
    def __call__(
        self, inputs: list[str], *, return_tensors: Literal[False] = ..., **options: Unpack[TextOptions]
    ) -> list[TokenFeatures]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], *, return_tensors: Literal[False] = ..., **options: Unpack[TextOptions]
    ) -> Iterator[TokenFeatures]: ...
    @overload
    def __call__(
        self,
        inputs: AsyncIterable[str],
        *,
        return_tensors: Literal[False] = ...,
        **options: Unpack[TextOptions],
    ) -> AsyncIterator[TokenFeatures]: ...
    def __call__(
        self, inputs: Inputs[str], *, return_tensors: bool = False, **options: Unpack[TextOptions]
    ) -> Results[TokenFeatures] | Results[Tensor]:
        """Features of one text, a list, or a stream of texts; `return_tensors` gives float32 tensors."""
        if not return_tensors:
            return self._run(inputs, options)
        merged = self._merged(options)
        # A copy, because a slice would keep its whole padded batch alive.
        tensors: Results[Tensor] = self._run_task(inputs, self._features(merged, Tensor.clone), merged)
        return tensors

    def _task(self, options: TextOptions) -> FeatureTask[TokenFeatures]:
        return self._features(options, _nested)

    def _features(self, options: TextOptions, finish: Callable[[Tensor], Features]) -> FeatureTask[Features]:
        text = text_model(self.task, self.parts)
        return FeatureTask(text=text, truncation=options.get("truncation", False), finish=finish)

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)
