"""`token-classification` (`ner`): a label for each token, or the named things that neighbouring tokens form.

Axes: T tokens, L labels.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar, Unpack, final, overload

from torch import Tensor

from hf_pipelines.base import CallOptions, Inputs, Pipeline, Results, is_text
from hf_pipelines.entities import GroupStrategy, Tagged, continues_word, group_entities, merge_windows
from hf_pipelines.errors import InputTooLongError, OptionValueError
from hf_pipelines.load import Parts
from hf_pipelines.records import EntityGroup, TokenEntity
from hf_pipelines.text import Piece, TextModel, text_model

Strategy: TypeAlias = Literal["none"] | GroupStrategy
Record = TypeVar("Record")


class TokenOptions(CallOptions, total=False):
    """Options of `token-classification`.

    ignore_labels: labels that are left out (default ["O"]).
    """

    ignore_labels: list[str]


class EntityOptions(TokenOptions, total=False):
    """Options of `token-classification` with an aggregation strategy.

    stride: tokens that consecutive windows of a long text share (default: a quarter of what the model takes).
    """

    stride: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A window, and the text it is part of."""

    text: str
    piece: Piece


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTask(Generic[Record]):
    """One call of `token-classification`; `finish` makes the record of windows and their scores [T, L]."""

    text: TextModel
    stride: int | None
    finish: Callable[[Sequence[TextPiece], Sequence[Tensor]], Record]

    def preprocess(self, inputs: Sequence[str]) -> list[list[TextPiece]]:
        """The windows of each text; without a stride InputTooLongError for a text that needs several."""
        windows = self.text.pieces(inputs, stride=self.stride or 0)
        if self.stride is None:
            for text, pieces in zip(inputs, windows, strict=True):
                self._refuse_long(text, len(pieces))
        return [
            [TextPiece(text=text, piece=piece) for piece in pieces]
            for text, pieces in zip(inputs, windows, strict=True)
        ]

    def length(self, chunk: TextPiece) -> int:
        """Tokens."""
        return len(chunk.piece)

    def forward(self, chunks: Sequence[TextPiece]) -> list[Tensor]:
        """Scores [T, L] of each window, without padding."""
        logits_BTL = self.text.logits(self.text.batch([chunk.piece.row for chunk in chunks]))
        return [logits_BTL[row, : len(chunk.piece)].softmax(-1) for row, chunk in enumerate(chunks)]

    def postprocess(self, chunks: Sequence[TextPiece], raws: Sequence[Tensor]) -> Record:
        """The record of one text."""
        return self.finish(chunks, raws)

    def _refuse_long(self, text: str, windows: int) -> None:
        if windows > 1:
            limit = self.text.limit
            tokens = len(self.text.tokenizer.encode(text))
            fix = 'pass aggregation_strategy="simple", which joins windows of long texts, or split the text'
            raise InputTooLongError(tokens, limit.tokens, limit.source, fix)


@final
class TokenClassificationPipeline(Pipeline[str, list[TokenEntity], TokenOptions]):
    """A label for each token of a text; with `aggregation_strategy` the named things, `text[start:end]` each.

    Strategies: "simple" joins neighbouring tokens of one label; "first", "average" and "max" first give every
    word one label. They read texts of any length, in windows.
    """

    task: ClassVar[str] = "token-classification"
    option_names: ClassVar[frozenset[str]] = EntityOptions.__optional_keys__

    @overload
    def __call__(
        self, inputs: str, *, aggregation_strategy: GroupStrategy, **options: Unpack[EntityOptions]
    ) -> list[EntityGroup]: ...
    @overload
    def __call__(
        self, inputs: list[str], *, aggregation_strategy: GroupStrategy, **options: Unpack[EntityOptions]
    ) -> list[list[EntityGroup]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], *, aggregation_strategy: GroupStrategy, **options: Unpack[EntityOptions]
    ) -> Iterator[list[EntityGroup]]: ...
    @overload
    def __call__(
        self,
        inputs: AsyncIterable[str],
        *,
        aggregation_strategy: GroupStrategy,
        **options: Unpack[EntityOptions],
    ) -> AsyncIterator[list[EntityGroup]]: ...
    @overload
    def __call__(
        self, inputs: str, *, aggregation_strategy: Literal["none"] = ..., **options: Unpack[TokenOptions]
    ) -> list[TokenEntity]: ...
    @overload
    def __call__(
        self,
        inputs: list[str],
        *,
        aggregation_strategy: Literal["none"] = ...,
        **options: Unpack[TokenOptions],
    ) -> list[list[TokenEntity]]: ...
    @overload
    def __call__(
        self,
        inputs: Iterator[str],
        *,
        aggregation_strategy: Literal["none"] = ...,
        **options: Unpack[TokenOptions],
    ) -> Iterator[list[TokenEntity]]: ...
    @overload
    def __call__(
        self,
        inputs: AsyncIterable[str],
        *,
        aggregation_strategy: Literal["none"] = ...,
        **options: Unpack[TokenOptions],
    ) -> AsyncIterator[list[TokenEntity]]: ...
    def __call__(
        self,
        inputs: Inputs[str],
        *,
        aggregation_strategy: Strategy = "none",
        **options: Unpack[EntityOptions],
    ) -> Results[list[TokenEntity]] | Results[list[EntityGroup]]:
        """Labels of the tokens, or the named things, of one text, a list, or a stream of texts."""
        if aggregation_strategy == "none":
            return self._run(inputs, options)
        merged: EntityOptions = {**self._defaults, **options}
        self._check_names(merged)
        task = entity_task(self.task, self.parts, aggregation_strategy, merged)
        groups: Results[list[EntityGroup]] = self._run_task(inputs, task, merged)
        return groups

    def _task(self, options: TokenOptions) -> TokenTask[list[TokenEntity]]:
        if "stride" in options:
            raise OptionValueError(
                "stride cuts a text into windows, which only an aggregation strategy can join",
                fix='pass aggregation_strategy="simple" as well',
            )
        ignored = frozenset(options.get("ignore_labels", ("O",)))
        labels = label_names(self.parts)

        def finish(pieces: Sequence[TextPiece], scores: Sequence[Tensor]) -> list[TokenEntity]:
            return _tokens(pieces[0], scores[0], labels, ignored)

        return TokenTask(text=text_model(self.task, self.parts), stride=None, finish=finish)

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)


@final
class EntityPipeline(Pipeline[str, list[EntityGroup], EntityOptions]):
    """The named things of a text, as `pipeline("ner", ..., aggregation_strategy="simple")` gives it."""

    task: ClassVar[str] = "token-classification"
    option_names: ClassVar[frozenset[str]] = EntityOptions.__optional_keys__

    def __init__(
        self, parts: Parts, defaults: Mapping[str, object], *, aggregation_strategy: GroupStrategy
    ) -> None:
        super().__init__(parts, defaults)
        self.aggregation_strategy = aggregation_strategy
        check_strategy(aggregation_strategy)

    @overload
    def __call__(self, inputs: str, **options: Unpack[EntityOptions]) -> list[EntityGroup]: ...
    @overload
    def __call__(self, inputs: list[str], **options: Unpack[EntityOptions]) -> list[list[EntityGroup]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], **options: Unpack[EntityOptions]
    ) -> Iterator[list[EntityGroup]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[EntityOptions]
    ) -> AsyncIterator[list[EntityGroup]]: ...
    def __call__(self, inputs: Inputs[str], **options: Unpack[EntityOptions]) -> Results[list[EntityGroup]]:
        """The named things of one text, a list, or a stream of texts."""
        return self._run(inputs, options)

    def _task(self, options: EntityOptions) -> TokenTask[list[EntityGroup]]:
        return entity_task(self.task, self.parts, self.aggregation_strategy, options)

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)


def entity_task(
    task: str, parts: Parts, strategy: GroupStrategy, options: EntityOptions
) -> TokenTask[list[EntityGroup]]:
    """The task that finds named things by a strategy."""
    check_strategy(strategy)
    text = text_model(task, parts)
    ignored = frozenset(options.get("ignore_labels", ("O",)))
    labels = label_names(parts)
    marked = parts.tokenizer.model_kind == "WordPiece" or "##s" in parts.tokenizer.get_vocab()

    def finish(pieces: Sequence[TextPiece], scores: Sequence[Tensor]) -> list[EntityGroup]:
        found = [
            entity
            for piece, scores_TL in zip(pieces, scores, strict=True)
            for entity in group_entities(
                piece.text, _tagged(piece, scores_TL, marked=marked), labels, strategy
            )
            if entity["entity_group"] not in ignored
        ]
        return merge_windows(found) if len(pieces) > 1 else found

    return TokenTask(text=text, stride=options.get("stride", text.limit.tokens // 4), finish=finish)


def check_strategy(strategy: Strategy) -> None:
    """Raise OptionValueError for a strategy that does not exist."""
    known = ("none", "simple", "first", "average", "max")
    if strategy not in known:
        raise OptionValueError(
            f"aggregation_strategy={strategy!r} is unknown", fix=f"use one of {', '.join(known)}"
        )


def label_names(parts: Parts) -> list[str]:
    """The names of the model's labels, in the order of its logits."""
    names = parts.model.config.id2label
    return [names[index] for index in range(len(names))]


def _tokens(
    piece: TextPiece, scores_TL: Tensor, labels: Sequence[str], ignored: frozenset[str]
) -> list[TokenEntity]:
    encoding = piece.piece.encoding
    best = scores_TL.max(-1)
    entities: list[TokenEntity] = []
    for index, (score, label) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
        if encoding.special_tokens_mask[index] or labels[label] in ignored:
            continue
        start, end = encoding.offsets[index]
        entities.append(
            {
                "entity": labels[label],
                "score": score,
                "index": index,
                "word": encoding.tokens[index],
                "start": start,
                "end": end,
            }
        )
    return entities


def _tagged(piece: TextPiece, scores_TL: Tensor, *, marked: bool) -> list[Tagged]:
    encoding = piece.piece.encoding
    return [
        Tagged(
            start=start,
            end=end,
            scores_L=scores_TL[index],
            continues=continues_word(piece.text, start, end, encoding.tokens[index], marked=marked),
        )
        for index, (start, end) in enumerate(encoding.offsets)
        if not encoding.special_tokens_mask[index]
    ]
