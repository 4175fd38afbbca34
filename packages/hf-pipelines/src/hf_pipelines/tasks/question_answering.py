"""`question-answering`: the passage of a context that answers a question.

Axes: T tokens.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Literal, NamedTuple, TypeVar, Unpack, final, overload

import torch
from torch import Tensor

from hf_pipelines.base import CallOptions, Inputs, Pipeline, Results
from hf_pipelines.errors import EmptyInputError, InputTypeError, OptionValueError
from hf_pipelines.records import Answer, QuestionContext
from hf_pipelines.text import Piece, TextModel, text_model

Record = TypeVar("Record")
DEFAULT_MAX_SEQ_LEN = 384
DEFAULT_STRIDE = 128


class AnswerOptions(CallOptions, total=False):
    """Options of `question-answering`.

    max_seq_len: tokens of one window, the question included (default: 384, or what the model takes if less).
    doc_stride: tokens that consecutive windows of the context share (default: 128, at most half a window).
    max_answer_len: most tokens of an answer (default 15).
    handle_impossible_answer: allow the empty answer, for models trained with unanswerable questions (default
        False).
    align_to_words: widen answers to whole words (default True).
    """

    max_seq_len: int
    doc_stride: int
    max_answer_len: int
    handle_impossible_answer: bool
    align_to_words: bool


class Spans(NamedTuple):
    """The best spans of one window, first and last token each, and the score of giving no answer."""

    spans: list[tuple[float, int, int]]
    null_score: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPiece:
    """A window of a context, after its question."""

    context: str
    piece: Piece


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTask(Generic[Record]):
    """One call of `question-answering`; `finish` makes the record from the answers, best first."""

    text: TextModel
    stride: int
    max_answer_len: int
    impossible: bool
    align_to_words: bool
    top_k: int
    finish: Callable[[list[Answer]], Record]

    def preprocess(self, inputs: Sequence[QuestionContext]) -> list[list[ContextPiece]]:
        """The windows of each context."""
        for item in inputs:
            self._check(item)
        windows = self.text.pieces(
            [item["question"] for item in inputs], [item["context"] for item in inputs], stride=self.stride
        )
        return [
            [ContextPiece(context=item["context"], piece=piece) for piece in pieces]
            for item, pieces in zip(inputs, windows, strict=True)
        ]

    def length(self, chunk: ContextPiece) -> int:
        """Tokens."""
        return len(chunk.piece)

    def forward(self, chunks: Sequence[ContextPiece]) -> list[Spans]:
        """The best spans of each window."""
        start_BT, end_BT = self.text.span_logits(self.text.batch([chunk.piece.row for chunk in chunks]))
        return [
            self._spans(chunk.piece, start_BT[row, : len(chunk.piece)], end_BT[row, : len(chunk.piece)])
            for row, chunk in enumerate(chunks)
        ]

    def postprocess(self, chunks: Sequence[ContextPiece], raws: Sequence[Spans]) -> Record:
        """The answers of all windows, best first; the same words found twice count once, scores added."""
        answers: dict[str, Answer] = {}
        for chunk, (spans, _) in zip(chunks, raws, strict=True):
            for score, first, last in spans:
                answer = self._answer(chunk, score, first, last)
                known = answers.setdefault(answer["answer"].lower(), answer)
                if known is not answer:
                    known["score"] += score
        found = list(answers.values())
        if self.impossible:
            null_score = min(raw.null_score for raw in raws)
            found.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
        found.sort(key=lambda answer: answer["score"], reverse=True)
        return self.finish(found[: self.top_k])

    def _check(self, item: object) -> None:
        if not isinstance(item, dict) or item.keys() != {"question", "context"}:
            raise InputTypeError(self.text.task, "{'question': ..., 'context': ...}", item)
        self.text.check_texts(item.values())
        for name, text in item.items():
            if not str(text).strip():
                raise EmptyInputError(f"the {name} is empty", fix=f"give a {name}, or leave this input out")

    def _spans(self, piece: Piece, start_T: Tensor, end_T: Tensor) -> Spans:
        in_context_T = torch.tensor([sequence == 1 for sequence in piece.encoding.sequence_ids])
        # The class token takes part in the softmax: there the model says that this window has no answer.
        allowed_T = in_context_T.clone()
        allowed_T[[place for place, token in enumerate(piece.row.input_ids) if token == self._cls_id]] = True
        start_T = start_T.masked_fill(~allowed_T, -1e4).softmax(-1)
        end_T = end_T.masked_fill(~allowed_T, -1e4).softmax(-1)
        null_score = float(start_T[0] * end_T[0])
        start_T, end_T = start_T * in_context_T, end_T * in_context_T
        scores_TT = torch.outer(start_T, end_T).triu().tril(self.max_answer_len - 1)
        best = scores_TT.flatten().topk(min(self.top_k, scores_TT.numel()))
        width = len(piece)
        spans = [
            (score, place // width, place % width)
            for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if in_context_T[place // width]
            and in_context_T[place % width]
            and place // width <= place % width
        ]
        return Spans(spans, null_score)

    @property
    def _cls_id(self) -> int | None:
        return self.text.tokenizer.cls_token_id

    def _answer(self, chunk: ContextPiece, score: float, first: int, last: int) -> Answer:
        encoding = chunk.piece.encoding
        start, end = encoding.offsets[first][0], encoding.offsets[last][1]
        if self.align_to_words:
            first_word, last_word = encoding.word_ids[first], encoding.word_ids[last]
            if first_word is not None and last_word is not None:
                start = min(start, _chars(encoding.word_to_chars(first_word, 1), start, 0))
                end = max(end, _chars(encoding.word_to_chars(last_word, 1), end, 1))
        return {"score": score, "start": start, "end": end, "answer": chunk.context[start:end]}


def _chars(span: tuple[int, int] | None, default: int, side: Literal[0, 1]) -> int:
    return default if span is None else span[side]


@final
class QuestionAnsweringPipeline(Pipeline[QuestionContext, Answer, AnswerOptions]):
    """The passage of a context that answers a question, or with `top_k` the best few.

    Contexts of any length are read in windows. `context[start:end] == answer`.
    """

    task: ClassVar[str] = "question-answering"
    option_names: ClassVar[frozenset[str]] = AnswerOptions.__optional_keys__

    @overload
    def __call__(
        self, inputs: QuestionContext, *, top_k: int, **options: Unpack[AnswerOptions]
    ) -> list[Answer]: ...
    @overload
    def __call__(
        self, inputs: list[QuestionContext], *, top_k: int, **options: Unpack[AnswerOptions]
    ) -> list[list[Answer]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[QuestionContext], *, top_k: int, **options: Unpack[AnswerOptions]
    ) -> Iterator[list[Answer]]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[QuestionContext], *, top_k: int, **options: Unpack[AnswerOptions]
    ) -> AsyncIterator[list[Answer]]: ...
    @overload
    def __call__(self, *, question: str, context: str, **options: Unpack[AnswerOptions]) -> Answer: ...
    @overload
    def __call__(self, inputs: QuestionContext, **options: Unpack[AnswerOptions]) -> Answer: ...
    @overload
    def __call__(self, inputs: list[QuestionContext], **options: Unpack[AnswerOptions]) -> list[Answer]: ...
    @overload
    def __call__(
        self, inputs: Iterator[QuestionContext], **options: Unpack[AnswerOptions]
    ) -> Iterator[Answer]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[QuestionContext], **options: Unpack[AnswerOptions]
    ) -> AsyncIterator[Answer]: ...
    def __call__(
        self,
        inputs: Inputs[QuestionContext] | None = None,
        *,
        question: str | None = None,
        context: str | None = None,
        top_k: int | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Results[Answer] | Results[list[Answer]]:
        """Answers to one question, a list, or a stream of {"question", "context"}."""
        if inputs is None:
            if question is None or context is None:
                raise InputTypeError(self.task, "a question and a context", question or context)
            inputs = {"question": question, "context": context}
        if top_k is None:
            return self._run(inputs, options)
        if top_k < 1:
            raise OptionValueError(f"top_k={top_k} asks for no answer", fix="pass 1 or more")
        merged = self._merged(options)
        answers: Results[list[Answer]] = self._run_task(inputs, self._answers(merged, top_k, _all), merged)
        return answers

    def _task(self, options: AnswerOptions) -> AnswerTask[Answer]:
        return self._answers(options, 1, _first)

    def _answers(
        self, options: AnswerOptions, top_k: int, finish: Callable[[list[Answer]], Record]
    ) -> AnswerTask[Record]:
        text = text_model(self.task, self.parts)
        asked = options.get("max_seq_len", min(text.limit.tokens, DEFAULT_MAX_SEQ_LEN))
        text = replace(text, limit=text.limit.tightened(asked, "the option max_seq_len"))
        return AnswerTask(
            text=text,
            stride=options.get("doc_stride", min(text.limit.tokens // 2, DEFAULT_STRIDE)),
            max_answer_len=options.get("max_answer_len", 15),
            impossible=options.get("handle_impossible_answer", False),
            align_to_words=options.get("align_to_words", True),
            top_k=top_k,
            finish=finish,
        )

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, dict)


def _first(answers: list[Answer]) -> Answer:
    return answers[0] if answers else {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def _all(answers: list[Answer]) -> list[Answer]:
    return answers
