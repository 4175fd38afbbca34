"""What can go wrong while generating, one class per cause."""

from __future__ import annotations

from collections.abc import Sequence

from hf_hub_io.errors import HfError


class GenerationError(HfError):
    """Base of every error that generation raises itself."""


class OptionError(GenerationError, ValueError):
    """An option has a value outside of its range; `option` and `value` say which."""

    def __init__(self, option: str, value: object, expected: str) -> None:
        self.option, self.value = option, value
        super().__init__(f"{option} is {value!r}, but it has to be {expected}", fix=f"pass {expected}")


class ContradictionError(GenerationError, ValueError):
    """Two options exclude each other; `options` names them."""

    def __init__(self, options: Sequence[str], why: str, fix: str) -> None:
        self.options = tuple(options)
        super().__init__(f"{' and '.join(options)} contradict each other: {why}", fix=fix)


class UnknownOptionError(GenerationError, TypeError):
    """A keyword that `generate` does not take."""

    def __init__(self, option: str, near: Sequence[str]) -> None:
        self.option = option
        hint = f"did you mean {near[0]!r}?" if near else "see GenerateOptions for the names it takes"
        super().__init__(f"generate() has no option {option!r}", fix=hint)


class PromptError(GenerationError, ValueError):
    """The prompt cannot be generated from: empty, of a wrong shape, or with ids outside of the vocabulary."""


class PromptTooLongError(PromptError):
    """The prompt leaves no room for one new token; `length` and `limit` are in tokens."""

    def __init__(self, length: int, limit: int, *, what: str = "the model's context") -> None:
        self.length, self.limit = length, limit
        super().__init__(
            f"the prompt has {length} tokens and {what} holds {limit}, so not one token can be generated",
            fix=f"shorten the prompt to at most {limit - 1} tokens (truncation=True, max_length={limit - 1})",
        )


class MissingTokenError(GenerationError, ValueError):
    """A special token that this call needs is not known; `name` says which."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        super().__init__(f"{name} is not set and {why}", fix=f"pass {name}=... to generate()")


class DetokenizerNeededError(GenerationError, ValueError):
    """Text is asked of `generate`, which works on ids; `option` says what needs it."""

    def __init__(self, option: str) -> None:
        self.option = option
        super().__init__(
            f"{option} matches text and no tokenizer was given", fix="pass tokenizer=... as well"
        )


class CacheMismatchError(GenerationError, ValueError):
    """The cache was made for another model or batch."""

    def __init__(self, what: str, found: object, expected: object) -> None:
        self.found, self.expected = found, expected
        super().__init__(
            f"the cache does not fit this call: its {what} is {found}, expected {expected}",
            fix="pass past_key_values=None, or a cache made by this model for this batch",
        )


class DeviceMismatchError(GenerationError, ValueError):
    """Inputs of one call live on different devices; `devices` maps their names."""

    def __init__(self, devices: dict[str, str]) -> None:
        self.devices = devices
        where = ", ".join(f"{name} on {device}" for name, device in devices.items())
        super().__init__(
            f"inputs of one call are on different devices: {where}", fix="move them to model.device"
        )


class UnsatisfiableConstraintError(GenerationError, ValueError):
    """No token is allowed next; `row` is the sequence of the batch."""

    def __init__(self, row: int, why: str) -> None:
        self.row = row
        super().__init__(f"no token is allowed next for sequence {row}: {why}", fix="loosen the constraint")


class GrammarError(GenerationError, ValueError):
    """The grammar (JSON schema, regular expression, EBNF) cannot be used."""


class OutOfCacheError(GenerationError, MemoryError):
    """The request can never fit the paged cache; `needed` and `available` count blocks."""

    def __init__(self, needed: int, available: int, block_size: int) -> None:
        self.needed, self.available = needed, available
        super().__init__(
            f"the request needs {needed} cache blocks of {block_size} tokens, and the cache has {available}",
            fix=f"ask for fewer tokens (at most {available * block_size}), or give the cache more blocks",
        )


class RequestCancelledError(GenerationError):
    """The request was cancelled before it finished."""
