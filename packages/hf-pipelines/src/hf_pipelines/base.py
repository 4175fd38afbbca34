"""The abstract pipeline: one model, one tokenizer, one task; every way of calling it is defined here."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, cast, overload

import torch

from hf_modeling.model import PreTrainedModel
from hf_pipelines.errors import InputTypeError, OptionValueError, UnknownOptionError
from hf_pipelines.load import Parts
from hf_pipelines.progress import with_progress
from hf_pipelines.runner import FailedItem, Runner
from hf_pipelines.source import Rows, iterate, size
from hf_pipelines.stats import Meter, RunStats
from hf_pipelines.task import Limits, Task, default_limits
from hf_tokenize import PreTrainedTokenizer

In = TypeVar("In")
Out = TypeVar("Out")
Options = TypeVar("Options", bound=Mapping[str, object])
Result = TypeVar("Result")
T = TypeVar("T")

Inputs: TypeAlias = In | list[In] | Iterable[In] | AsyncIterable[In]
Results: TypeAlias = Out | list[Out] | Iterator[Out] | AsyncIterator[Out]
OnError: TypeAlias = Literal["raise", "yield"]


class CallOptions(TypedDict, total=False):
    """Options of every call.

    batch_size: rows in one forward pass; "auto" (default) bounds padded tokens instead, by device. 1 reads no
        input ahead. Rows of like length share a pass, whatever the order of the inputs.
    progress: show a progress bar on stderr (default False).
    """

    batch_size: int | Literal["auto"]
    progress: bool


class Pipeline(ABC, Generic[In, Out, Options]):
    """A task on a model.

    Call it with one input for one record, with a list for a list of records in the same order, with an
    iterator or dataset for an iterator, with an async iterable for an async iterator.

    Only a bounded window of inputs is held at once. Safe to call from several threads.
    """

    task: ClassVar[str]
    option_names: ClassVar[frozenset[str]]

    def __init__(self, parts: Parts, defaults: Mapping[str, object], *, limits: Limits | None = None) -> None:
        self._check_names(defaults)
        self.parts = parts
        self._meter = Meter()
        self._limits = default_limits(parts.model.device) if limits is None else limits
        self._defaults = cast(Options, defaults)

    @abstractmethod
    def _task(self, options: Options) -> Task[In, Any, Any, Out]:
        """The task object of one call."""

    @abstractmethod
    def _is_one(self, inputs: object) -> bool:
        """Whether this is a single input rather than a collection of inputs."""

    @property
    def model(self) -> PreTrainedModel:
        """The model, in evaluation mode."""
        return self.parts.model

    @property
    def tokenizer(self) -> PreTrainedTokenizer:
        """The model's tokenizer."""
        return self.parts.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the model computes; records are on the CPU wherever that is."""
        return self.model.device

    def stats(self) -> RunStats:
        """Inputs, forward passes, tokens and padding so far."""
        return self._meter.read()

    def with_options(self, options: Options) -> Self:
        """The same pipeline, sharing model and statistics, with other defaults for its options."""
        clone = object.__new__(type(self))
        clone.__dict__.update(self.__dict__)
        clone._defaults = self._merged(options)
        return clone

    @overload
    def stream(
        self, inputs: Iterable[In] | Rows[In], *, on_error: Literal["raise"] = "raise"
    ) -> Iterator[Out]: ...
    @overload
    def stream(
        self, inputs: Iterable[In] | Rows[In], *, on_error: Literal["yield"]
    ) -> Iterator[Out | FailedItem]: ...
    def stream(
        self, inputs: Iterable[In] | Rows[In], *, on_error: OnError = "raise"
    ) -> Iterator[Out] | Iterator[Out | FailedItem]:
        """Records in the order of the inputs, as they are finished, reading only a bounded window ahead.

        A bad input raises its error in its place, after the records of all inputs before it; with
        `on_error="yield"` a FailedItem stands there and the stream goes on.
        """
        runner = self._runner(self._task(self._defaults), self._defaults)
        results = self._with_progress(runner.stream(iterate(inputs)), inputs, self._defaults)
        return results if on_error == "yield" else _raise_failures(results)

    @overload
    def astream(
        self, inputs: AsyncIterable[In], *, on_error: Literal["raise"] = "raise"
    ) -> AsyncIterator[Out]: ...
    @overload
    def astream(
        self, inputs: AsyncIterable[In], *, on_error: Literal["yield"]
    ) -> AsyncIterator[Out | FailedItem]: ...
    def astream(
        self, inputs: AsyncIterable[In], *, on_error: OnError = "raise"
    ) -> AsyncIterator[Out] | AsyncIterator[Out | FailedItem]:
        """`stream` for an async source; the model runs on a worker thread."""
        results = self._runner(self._task(self._defaults), self._defaults).astream(inputs)
        return results if on_error == "yield" else _araise_failures(results)

    def save_pretrained(self, directory: str | Path) -> None:
        """Write model and tokenizer, so that `pipeline(task, directory)` gives this pipeline again."""
        self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    def _run(self, inputs: Inputs[In], options: Options) -> Results[Out]:
        merged = self._merged(options)
        return self._run_task(inputs, self._task(merged), merged)

    def _run_task(
        self, inputs: Inputs[In], task: Task[In, Any, Any, Result], options: Options
    ) -> Results[Result]:
        """Results in the shape of the inputs: one, a list, an iterator or an async iterator."""
        runner = self._runner(task, options)
        if self._is_one(inputs):
            return runner.one(cast(In, inputs))
        if isinstance(inputs, list) and len(inputs) == 1 and not options.get("progress", False):
            # A list of one takes the same short way; a failure is said to be its input number 0.
            return [_first(runner, inputs[0])]
        if isinstance(inputs, AsyncIterable):
            return _araise_failures(runner.astream(inputs))
        if not isinstance(inputs, Iterable | Rows):
            raise InputTypeError(self.task, "one input, a list, an iterable or an async iterable", inputs)
        results = _raise_failures(self._with_progress(runner.stream(iterate(inputs)), inputs, options))
        return list(results) if isinstance(inputs, list | tuple) else results

    def _with_progress(self, results: Iterator[T], inputs: object, options: Options) -> Iterator[T]:
        return with_progress(results, size(inputs)) if options.get("progress", False) else results

    def _runner(self, task: Task[In, Any, Any, Result], options: Options) -> Runner[In, Any, Any, Result]:
        batch_size = options.get("batch_size", "auto")
        if batch_size == "auto":
            limits = self._limits
        elif isinstance(batch_size, int) and batch_size >= 1:
            limits = self._limits.at_most(batch_size)
        else:
            raise OptionValueError(
                f"batch_size={batch_size!r} is not a number of rows", fix='pass 1 or more, or "auto"'
            )
        return Runner(task, limits, self._meter)

    def _merged(self, options: Options) -> Options:
        self._check_names(options)
        return cast(Options, {**self._defaults, **options})

    def _check_names(self, options: Mapping[str, object]) -> None:
        for name in options:
            if name not in self.option_names:
                near = difflib.get_close_matches(name, self.option_names, n=1)
                raise UnknownOptionError(self.task, name, near, self.option_names)


def is_text(inputs: object) -> bool:
    """Whether this is one text."""
    return isinstance(inputs, str)


def _first(runner: Runner[In, Any, Any, Result], item: In) -> Result:
    try:
        return runner.one(item)
    except Exception as error:
        _placed(FailedItem(0, error))
        raise


def _raise_failures(results: Iterator[Out | FailedItem]) -> Iterator[Out]:
    for result in results:
        if isinstance(result, FailedItem):
            raise _placed(result)
        yield result


async def _araise_failures(results: AsyncIterator[Out | FailedItem]) -> AsyncIterator[Out]:
    async for result in results:
        if isinstance(result, FailedItem):
            raise _placed(result)
        yield result


def _placed(failure: FailedItem) -> Exception:
    failure.error.add_note(f"(raised by input number {failure.index}, counted from 0)")
    return failure.error
