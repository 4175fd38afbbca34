"""`table-question-answering` by encoder-decoders, which read a table as text, row by row (TAPEX).

Source of the text's form: Liu et al. 2021, TAPEX, section 2.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Unpack, cast, final, overload

from hf_modeling.generation.options import GenerateOptions
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from hf_pipelines.base import CallOptions, Inputs, Pipeline, Results
from hf_pipelines.errors import EmptyInputError, InputTooLongError, InputTypeError
from hf_pipelines.load import Parts
from hf_pipelines.records import TableAnswer, TableQuestion
from hf_pipelines.tasks.seq2seq import Seq2SeqOptions, Seq2SeqTask, asked, task_facts
from hf_pipelines.tasks.text_generation import generation_limits
from hf_pipelines.text import TokenRow, text_model


class TableOptions(CallOptions, GenerateOptions, total=False):
    """Options of `table-question-answering`: those of `generate`, and these.

    truncation: "drop_rows_to_fit" leaves out last rows of a table that is longer than the model takes; by
        default such a table is an error.
    seed: of the random numbers.
    """

    truncation: Literal["drop_rows_to_fit", "do_not_truncate"]
    seed: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TableTask:
    """One call of `table-question-answering`."""

    inner: Seq2SeqTask[str]
    drop_rows: bool

    def preprocess(self, inputs: Sequence[TableQuestion]) -> list[list[TokenRow]]:
        """One row for each question."""
        return [[self._row(item)] for item in inputs]

    def length(self, chunk: TokenRow) -> int:
        """Tokens of question and table."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> list[list[list[int]]]:
        """Tokens of the answers."""
        return self.inner.forward(chunks)

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[list[list[int]]]) -> TableAnswer:
        """The answer to one question."""
        return {"answer": self.inner.postprocess(chunks, raws).strip()}

    def _row(self, item: TableQuestion) -> TokenRow:
        names, rows = table_rows(item)
        query = item["query"]
        try:
            return self._read(query, names, rows)
        except InputTooLongError:
            if not self.drop_rows:
                raise
        # The most rows that fit, by bisection: a text with fewer rows is never longer.
        fits, too_many = 0, len(rows)
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            try:
                self._read(query, names, rows[:middle])
                fits = middle
            except InputTooLongError:
                too_many = middle
        return self._read(query, names, rows[:fits])

    def _read(self, query: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> TokenRow:
        try:
            return self.inner.preprocess([linearized(query, names, rows)])[0][0]
        except InputTooLongError as error:
            fix = 'pass truncation="drop_rows_to_fit" to leave out last rows, or ask about a smaller table'
            source = self.inner.text.limit.source
            raise InputTooLongError(error.tokens, error.limit, source, fix) from None


@final
class TableAnswerPipeline(Pipeline[TableQuestion, TableAnswer, TableOptions]):
    """What a model answers to a question about a table, given as `{"table": {column: cells}, "query": ...}`."""

    task: ClassVar[str] = "table-question-answering"
    option_names: ClassVar[frozenset[str]] = TableOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object]) -> None:
        super().__init__(parts, defaults, limits=generation_limits(parts.model.device))
        if not isinstance(parts.model, ConditionalGeneration):
            raise InputTypeError(self.task, "an encoder-decoder with a vocabulary head", parts.model)
        self._answering = parts.model

    @overload
    def __call__(self, inputs: TableQuestion, **options: Unpack[TableOptions]) -> TableAnswer: ...
    @overload
    def __call__(self, inputs: list[TableQuestion], **options: Unpack[TableOptions]) -> list[TableAnswer]: ...
    @overload
    def __call__(
        self, inputs: Iterator[TableQuestion], **options: Unpack[TableOptions]
    ) -> Iterator[TableAnswer]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[TableQuestion], **options: Unpack[TableOptions]
    ) -> AsyncIterator[TableAnswer]: ...
    def __call__(
        self, inputs: Inputs[TableQuestion], **options: Unpack[TableOptions]
    ) -> Results[TableAnswer]:
        """Answers to one question, a list, or a stream of them."""
        return self._run(inputs, options)

    def _task(self, options: TableOptions) -> TableTask:
        # Whatever is left out of a table is left out by rows, never by tokens.
        own = cast("Seq2SeqOptions", {name: value for name, value in options.items() if name != "truncation"})
        return TableTask(
            inner=Seq2SeqTask(
                text=text_model(self.task, self.parts),
                model=self._answering,
                asked=asked(self._answering, task_facts(self._answering, self.task), own, beams=4),
                finish=lambda texts: texts[0],
            ),
            drop_rows=options.get("truncation") == "drop_rows_to_fit",
        )

    def _is_one(self, inputs: object) -> bool:
        return isinstance(inputs, Mapping)


def table_rows(item: object) -> tuple[list[str], list[list[str]]]:
    """The names of a table's columns, and its rows as text.

    Raises InputTypeError for what is no question with a table of even columns, EmptyInputError for one with
    nothing in it.
    """
    task = "table-question-answering"
    if not isinstance(item, Mapping) or not {"table", "query"} <= item.keys():
        raise InputTypeError(task, "{'table': {column: cells}, 'query': text}", item)
    table, query = item["table"], item["query"]
    if not isinstance(query, str) or not isinstance(table, Mapping):
        raise InputTypeError(task, "a table by columns and a question as text", item)
    if not query.strip():
        raise EmptyInputError("the question about the table is empty", fix="give a query with words")
    columns = {str(name): [str(cell) for cell in table[name]] for name in table}
    if not columns:
        raise EmptyInputError("the table has no column", fix="give at least one: {'name': ['cell', ...]}")
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputTypeError(task, "columns of one length", lengths)
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def linearized(query: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Question and table as the one text that TAPEX was trained on, in lower case."""
    lines = [f"row {number} : {' | '.join(row)}" for number, row in enumerate(rows, 1)]
    return " ".join([query, f"col : {' | '.join(names)}", *lines]).lower()
