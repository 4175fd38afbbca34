"""What can go wrong in a pipeline, one class per cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hf_hub_io.errors import HfError


class PipelineError(HfError):
    """Base of every error this package raises itself."""


class UnknownTaskError(PipelineError, LookupError):
    """The task name is not in the registry; `near` has the nearest names."""

    def __init__(self, task: str, near: Sequence[str], known: Iterable[str]) -> None:
        self.task, self.near = task, tuple(near)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        super().__init__(f"there is no task {task!r}", fix=f"{hint}Known tasks: {', '.join(known)}")


class TaskMismatchError(PipelineError, ValueError):
    """The checkpoint has no head for this task; `can_do` names the tasks that it has heads for."""

    def __init__(
        self, task: str, checkpoint: str, architectures: Sequence[str], can_do: Sequence[str]
    ) -> None:
        self.task, self.checkpoint, self.can_do = task, checkpoint, tuple(can_do)
        able = f"this one can do {', '.join(can_do)}; " if can_do else ""
        super().__init__(
            f"{checkpoint} holds {', '.join(architectures)}, which has no head for {task!r}",
            fix=f"{able}for {task!r} choose a checkpoint that was trained for it",
        )


class UnknownOptionError(PipelineError, TypeError):
    """A keyword that this task does not take."""

    def __init__(self, task: str, option: str, near: Sequence[str], known: Iterable[str]) -> None:
        self.task, self.option = task, option
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(
            f"{task!r} has no option {option!r}", fix=f"{hint}Its options: {', '.join(sorted(known))}"
        )


class OptionValueError(PipelineError, ValueError):
    """An option has a value that it cannot take."""


class InputTypeError(PipelineError, TypeError):
    """An input is not of the kind this task reads."""

    def __init__(self, task: str, expected: str, found: object) -> None:
        super().__init__(f"{task!r} reads {expected}, not {type(found).__name__}: {shorten(found)}")


class EmptyInputError(PipelineError, ValueError):
    """An input has nothing that the model could read."""


class InputTooLongError(PipelineError, ValueError):
    """A text has more tokens than fit; nothing is ever cut without being asked to."""

    def __init__(self, tokens: int, limit: int, source: str, fix: str) -> None:
        self.tokens, self.limit = tokens, limit
        super().__init__(f"the text has {tokens:,} tokens, but at most {limit:,} fit ({source})", fix=fix)


class MissingTokenError(PipelineError, ValueError):
    """The tokenizer, or the text, lacks a special token that the task rests on."""


class PoolingError(PipelineError, ValueError):
    """The checkpoint's sentence-transformers modules ask for something unknown or impossible."""


def shorten(value: object, width: int = 60) -> str:
    """The repr of a value, cut to fit into a message."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."
