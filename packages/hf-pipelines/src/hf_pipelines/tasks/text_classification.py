"""`text-classification` (`sentiment-analysis`): labels of a text or of a pair of texts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar, Unpack, final, overload

from torch import Tensor

from hf_pipelines.base import Inputs, Pipeline, Results
from hf_pipelines.errors import InputTypeError, OptionValueError
from hf_pipelines.load import Parts
from hf_pipelines.records import LabelScore, TextPair
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model

TextOrPair: TypeAlias = str | TextPair
ScoreFunction: TypeAlias = Literal["sigmoid", "softmax", "none"]
Record = TypeVar("Record")


class ClassificationOptions(TextOptions, total=False):
    """Options of `text-classification`.

    function_to_apply: what turns logits into scores; by default none for regression, "sigmoid" for one label
        or independent labels, "softmax" for labels that exclude each other.
    """

    function_to_apply: ScoreFunction


def score_function(problem_type: str | None, num_labels: int) -> ScoreFunction:
    """The function that fits the head, by what its config says it was trained for."""
    if problem_type == "regression":
        return "none"
    return "sigmoid" if problem_type == "multi_label_classification" or num_labels == 1 else "softmax"


def apply_scores(logits: Tensor, function: ScoreFunction) -> Tensor:
    """Scores from logits, over the last axis."""
    match function:
        case "sigmoid":
            return logits.sigmoid()
        case "softmax":
            return logits.softmax(-1)
        case "none":
            return logits
        case _:
            raise OptionValueError(
                f"function_to_apply={function!r} is unknown", fix='use "sigmoid", "softmax" or "none"'
            )


def check_top_k(top_k: int | None) -> None:
    """Raise OptionValueError unless top_k is None or a number from 1 up."""
    if top_k is not None and top_k < 1:
        raise OptionValueError(f"top_k={top_k} asks for no result", fix="pass 1 or more, or None for all")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationTask(Generic[Record]):
    """One call of `text-classification`; `finish` makes the record from the scores of all labels."""

    text: TextModel
    truncation: bool
    function: ScoreFunction
    finish: Callable[[Tensor], Record]

    def preprocess(self, inputs: Sequence[TextOrPair]) -> list[list[TokenRow]]:
        """One row for each text or pair."""
        return [
            [row] for row in self.text.pair_rows(list(map(self._pair, inputs)), truncation=self.truncation)
        ]

    def length(self, chunk: TokenRow) -> int:
        """Tokens."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> Sequence[Tensor]:
        """Logits of every label for each row."""
        return self.text.logits(self.text.batch(chunks)).unbind()

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[Tensor]) -> Record:
        """The record of one text."""
        return self.finish(apply_scores(raws[0], self.function))

    def _pair(self, item: object) -> tuple[str, str | None]:
        if isinstance(item, str):
            return item, None
        if isinstance(item, dict) and item.keys() == {"text", "text_pair"}:
            return item["text"], item["text_pair"]
        raise InputTypeError(self.text.task, "a text, or {'text': ..., 'text_pair': ...}", item)


def classification_task(
    task: str,
    parts: Parts,
    options: ClassificationOptions,
    finish: Callable[[list[LabelScore]], Record],
    top_k: int | None,
) -> ClassificationTask[Record]:
    """The task that makes a record of the `top_k` best labels, best first; None: of all."""
    check_top_k(top_k)
    config = parts.model.config
    names = config.id2label

    def ranked(scores: Tensor) -> Record:
        best = scores.topk(len(scores) if top_k is None else min(top_k, len(scores)))
        pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return finish([{"label": names[index], "score": score} for score, index in pairs])

    return ClassificationTask(
        text=text_model(task, parts),
        truncation=options.get("truncation", False),
        function=options.get("function_to_apply", score_function(config.problem_type, config.num_labels)),
        finish=ranked,
    )


def _first(labels: list[LabelScore]) -> LabelScore:
    return labels[0]


def _all(labels: list[LabelScore]) -> list[LabelScore]:
    return labels


@final
class LabelScoresPipeline(Pipeline[TextOrPair, list[LabelScore], ClassificationOptions]):
    """The best labels of a text, as `pipeline("text-classification", ..., top_k=3)` gives them; None: all."""

    task: ClassVar[str] = "text-classification"
    option_names: ClassVar[frozenset[str]] = ClassificationOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object], *, top_k: int | None) -> None:
        super().__init__(parts, defaults)
        check_top_k(top_k)
        self.top_k = top_k

    @overload
    def __call__(self, inputs: TextOrPair, **options: Unpack[ClassificationOptions]) -> list[LabelScore]: ...
    @overload
    def __call__(
        self, inputs: list[str] | list[TextPair] | list[TextOrPair], **options: Unpack[ClassificationOptions]
    ) -> list[list[LabelScore]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[TextOrPair], **options: Unpack[ClassificationOptions]
    ) -> Iterator[list[LabelScore]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[TextOrPair], **options: Unpack[ClassificationOptions]
    ) -> AsyncIterator[list[LabelScore]]: ...
    def __call__(
        self,
        inputs: Inputs[TextOrPair] | list[str] | list[TextPair],
        **options: Unpack[ClassificationOptions],
    ) -> Results[list[LabelScore]]:
        """Labels with scores, for one text or pair, a list, or a stream of them."""
        return self._run(inputs, options)

    def _task(self, options: ClassificationOptions) -> ClassificationTask[list[LabelScore]]:
        return classification_task(self.task, self.parts, options, _all, self.top_k)

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, str | dict)


@final
class TextClassificationPipeline(Pipeline[TextOrPair, LabelScore, ClassificationOptions]):
    """The best label of a text, or its `top_k` labels, best first (None: all).

    A single text gives a list also without `top_k`, as it always has; a pair, or a text of a list, gives one
    record.
    """

    task: ClassVar[str] = "text-classification"
    option_names: ClassVar[frozenset[str]] = ClassificationOptions.__optional_keys__

    @overload
    def __call__(
        self, inputs: TextOrPair, *, top_k: int | None, **options: Unpack[ClassificationOptions]
    ) -> list[LabelScore]: ...
    @overload
    def __call__(
        self,
        inputs: list[str] | list[TextPair] | list[TextOrPair],
        *,
        top_k: int | None,
        **options: Unpack[ClassificationOptions],
    ) -> list[list[LabelScore]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[TextOrPair], *, top_k: int | None, **options: Unpack[ClassificationOptions]
    ) -> Iterator[list[LabelScore]]: ...
    @overload
    def __call__(
        self,
        inputs: AsyncIterable[TextOrPair],
        *,
        top_k: int | None,
        **options: Unpack[ClassificationOptions],
    ) -> AsyncIterator[list[LabelScore]]: ...
    @overload
    def __call__(self, inputs: str, **options: Unpack[ClassificationOptions]) -> list[LabelScore]: ...
    @overload
    def __call__(self, inputs: TextPair, **options: Unpack[ClassificationOptions]) -> LabelScore: ...
    @overload
    def __call__(
        self, inputs: list[str] | list[TextPair] | list[TextOrPair], **options: Unpack[ClassificationOptions]
    ) -> list[LabelScore]: ...
    @overload
    def __call__(
        self, inputs: Iterator[TextOrPair], **options: Unpack[ClassificationOptions]
    ) -> Iterator[LabelScore]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[TextOrPair], **options: Unpack[ClassificationOptions]
    ) -> AsyncIterator[LabelScore]: ...
    def __call__(
        self,
        inputs: Inputs[TextOrPair] | list[str] | list[TextPair],
        *,
        top_k: int | Literal["best"] | None = "best",
        **options: Unpack[ClassificationOptions],
    ) -> Results[LabelScore] | Results[list[LabelScore]]:
        """Labels with scores, for one text or pair, a list, or a stream of them."""
        if top_k == "best":
            results = self._run(inputs, options)
            return [results] if isinstance(inputs, str) and isinstance(results, dict) else results
        merged = self._merged(options)
        task = classification_task(self.task, self.parts, merged, _all, top_k)
        ranked: Results[list[LabelScore]] = self._run_task(inputs, task, merged)
        return ranked

    def _task(self, options: ClassificationOptions) -> ClassificationTask[LabelScore]:
        return classification_task(self.task, self.parts, options, _first, 1)

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, str | dict)
