"""What the tasks of encoder-decoders share: a text is read whole, then answered.

Axes: B rows, S tokens of a text, T of an answer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, Unpack, cast, final, overload

from hf_config import GenerationConfig
from hf_modeling.generation.api import tokens_of
from hf_modeling.generation.conditional import begin
from hf_modeling.generation.options import GenerateOptions, merge_options
from hf_modeling.generation.start import start_run
from hf_modeling.generation.text import TextStream
from hf_modeling.heads.conditional_generation import ConditionalGeneration
from hf_pipelines.base import Inputs, Pipeline, Results, is_text
from hf_pipelines.errors import InputTypeError, OptionValueError
from hf_pipelines.load import Parts
from hf_pipelines.tasks.text_generation import generation_limits, text_pieces
from hf_pipelines.text import TextModel, TextOptions, TokenRow, text_model

Record = TypeVar("Record")
Result = TypeVar("Result")
ONE_WAY = frozenset({"do_sample", "num_beams", "num_beam_groups", "penalty_alpha", "force_words_ids"})
"""Options that say how tokens are chosen; where nobody gives one, four beams search."""


class Seq2SeqOptions(TextOptions, GenerateOptions, total=False):
    """Options of tasks that answer a text with a text: those of `generate`, and these.

    prefix: text put before every input; by default what the checkpoint's config.json says for the task.
    stop_sequence: another name of `stop_strings`.
    skip_special_tokens: leave special tokens out of the answer (default True).
    generation_config: options of `generate` as one object.
    seed: of the random numbers; every input then has the same answers, whatever it is batched with.
    """

    prefix: str
    stop_sequence: str | list[str]
    skip_special_tokens: bool
    generation_config: GenerationConfig
    seed: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How one call reads and answers, after checkpoint, task and caller had their say."""

    config: GenerationConfig
    prefix: str
    truncation: bool
    skip_special_tokens: bool
    seed: int | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Seq2SeqTask(Generic[Result]):
    """One call of such a task; `finish` makes the record of the texts of all answers to one input."""

    text: TextModel
    model: ConditionalGeneration
    asked: Asked
    finish: Callable[[list[str]], Result]

    def preprocess(self, inputs: Sequence[str]) -> list[list[TokenRow]]:
        """One row for each text."""
        self.text.check_texts(inputs)
        texts = [self.asked.prefix + text for text in inputs]
        return [[row] for row in self.text.rows(texts, truncation=self.asked.truncation)]

    def length(self, chunk: TokenRow) -> int:
        """Tokens of the text."""
        return len(chunk)

    def forward(self, chunks: Sequence[TokenRow]) -> list[list[list[int]]]:
        """The tokens of every answer to each row."""
        batch = self.text.batch(chunks)
        answers = self.model.generate(
            batch.input_ids_BT,
            self.asked.config,
            return_dict_in_generate=False,
            attention_mask=batch.attention_mask_BT,
            tokenizer=self.text.tokenizer,
            seed=self._seeds(len(chunks)),
        ).tolist()
        each = len(answers) // len(chunks)
        return [answers[place * each : (place + 1) * each] for place in range(len(chunks))]

    def postprocess(self, chunks: Sequence[TokenRow], raws: Sequence[list[list[int]]]) -> Result:
        """The record of one text."""
        skip = self.asked.skip_special_tokens
        return self.finish(self.text.tokenizer.batch_decode(raws[0], skip_special_tokens=skip))

    def pieces(self, row: TokenRow) -> Iterator[str]:
        """The answer to one row, as its characters are complete."""
        batch = self.text.batch([row])
        call = begin(self.model, batch.input_ids_BT, self.asked.config, {"tokenizer": self.text.tokenizer})
        run = start_run(call.decoder, call.start_AT, self.asked.config, call.arguments)
        text = TextStream(self.text.tokenizer, skip_special_tokens=self.asked.skip_special_tokens)
        return text_pieces(tokens_of(run, call.arguments), text)

    def _seeds(self, rows: int) -> list[int] | None:
        if self.asked.seed is None:
            return None
        config = self.asked.config
        each = max(config.num_beams or 1, config.num_return_sequences or 1)
        return [self.asked.seed + answer for answer in range(each)] * rows


class Seq2SeqPipeline(Pipeline[str, Record, Seq2SeqOptions], Generic[Record]):
    """Texts to texts; a subclass says what its record is called.

    Where neither the call nor the checkpoint says how to generate, four beams search for up to 256 new
    tokens. A text longer than the model takes is an error, unless `truncation=True`.
    """

    option_names: ClassVar[frozenset[str]] = Seq2SeqOptions.__optional_keys__

    def __init__(self, parts: Parts, defaults: Mapping[str, object]) -> None:
        super().__init__(parts, defaults, limits=generation_limits(parts.model.device))
        if not isinstance(parts.model, ConditionalGeneration):
            raise InputTypeError(self.task, "an encoder-decoder with a vocabulary head", parts.model)
        self._answering = parts.model

    @overload
    def __call__(self, inputs: str, **options: Unpack[Seq2SeqOptions]) -> list[Record]: ...
    @overload
    def __call__(self, inputs: list[str], **options: Unpack[Seq2SeqOptions]) -> list[Record]: ...
    @overload
    def __call__(self, inputs: Iterator[str], **options: Unpack[Seq2SeqOptions]) -> Iterator[Record]: ...
    @overload
    def __call__(
        self, inputs: AsyncIterable[str], **options: Unpack[Seq2SeqOptions]
    ) -> AsyncIterator[Record]: ...
    def __call__(self, inputs: Inputs[str], **options: Unpack[Seq2SeqOptions]) -> Results[Record]:
        """The answers to one text in a list; for a list or a stream of texts, the best answer to each.

        Raises OptionValueError for several answers to each of many texts, which `answers` gives.
        """
        return self._call(inputs, options)

    def answers(self, inputs: Iterable[str], **options: Unpack[Seq2SeqOptions]) -> Iterator[list[Record]]:
        """For each text all of its `num_return_sequences` answers, best first."""
        merged = self._merged(options)
        results = self._run_task(iter(inputs), self._asking(merged, self._records), merged)
        return cast("Iterator[list[Record]]", results)

    def stream_text(self, text: str, **options: Unpack[Seq2SeqOptions]) -> Iterator[str]:
        """The answer to one text in pieces, each as soon as its characters are complete.

        Chosen token by token unless options say otherwise; raises ContradictionError of hf-modeling for beams,
        whose answer is known at the end only. Stop iterating to stop generating.
        """
        task = self._asking(self._merged(options), self._records, beams=1)
        return task.pieces(task.preprocess([text])[0][0])

    def _call(self, inputs: Inputs[str], options: Seq2SeqOptions) -> Results[Record]:
        if isinstance(inputs, str):
            merged = self._merged(options)
            answers = self._run_task(inputs, self._asking(merged, self._records), merged)
            return cast("list[Record]", answers)
        return self._run(inputs, options)

    def _task(self, options: Seq2SeqOptions) -> Seq2SeqTask[Record]:
        task = self._asking(options, lambda texts: self._record(texts[0]))
        if (task.asked.config.num_return_sequences or 1) > 1:
            raise OptionValueError(
                "num_return_sequences gives several answers to each text, and one is asked for",
                fix="call pipe.answers(texts, ...), which yields a list for each text",
            )
        return task

    def _asking(
        self, options: Seq2SeqOptions, finish: Callable[[list[str]], Result], *, beams: int = 4
    ) -> Seq2SeqTask[Result]:
        return Seq2SeqTask(
            text=text_model(self.task, self.parts),
            model=self._answering,
            asked=asked(self._answering, self._facts(options), options, beams=beams),
            finish=finish,
        )

    def _facts(self, options: Seq2SeqOptions) -> Mapping[str, object]:
        """What config.json says for this task."""
        return task_facts(self._answering, self.task)

    def _records(self, texts: list[str]) -> list[Record]:
        return [self._record(text) for text in texts]

    @abstractmethod
    def _record(self, text: str) -> Record:
        """The record of one answer."""

    def _is_one(self, inputs: object) -> bool:
        return is_text(inputs)


def asked(
    model: ConditionalGeneration, facts: Mapping[str, object], options: Seq2SeqOptions, *, beams: int
) -> Asked:
    """All options of one call: the caller's, then config.json's for the task, the checkpoint's, and what users
    of these tasks expect.

    Raises UnknownOptionError and ContradictionError of hf-modeling, ConfigError of hf-config.
    """
    names = GenerateOptions.__optional_keys__
    own = cast("GenerateOptions", {name: value for name, value in options.items() if name in names})
    if "stop_sequence" in options:
        own["stop_strings"] = options["stop_sequence"]
    known = checkpoint_config(model)
    known = known.replace(**cast("GenerateOptions", {n: v for n, v in facts.items() if n in names}))
    if (given := options.get("generation_config")) is not None:
        known = known.merged(given)
    said = {*known.to_diff_dict(), *own}
    fallback: GenerateOptions = {}
    if not said & {"max_length", "max_new_tokens"}:
        fallback["max_new_tokens"] = 256
    if not said & ONE_WAY:
        fallback["num_beams"] = beams
    prefix = options.get("prefix", facts.get("prefix"))
    if prefix is None:
        prefix = model.config.extra.get("prefix")
    return Asked(
        config=merge_options(known.replace(**fallback), None, own),
        prefix=prefix if isinstance(prefix, str) else "",
        truncation=options.get("truncation", False),
        skip_special_tokens=options.get("skip_special_tokens", True),
        seed=options.get("seed"),
    )


def checkpoint_config(model: ConditionalGeneration) -> GenerationConfig:
    """The options that the checkpoint brought along, in either of its files."""
    return model.generation_config or GenerationConfig.from_model_config(model.config)


def task_facts(model: ConditionalGeneration, name: str) -> Mapping[str, object]:
    """What config.json says under `task_specific_params` for a task of this name; nothing if it does not."""
    told = model.config.extra.get("task_specific_params")
    facts = told.get(name) if isinstance(told, Mapping) else None
    return facts if isinstance(facts, Mapping) else {}
