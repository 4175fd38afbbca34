"""Everything hf-config raises by itself: each message names the field, the value, the file and the fix.

```
ConfigError                     .file                                         (ValueError)
├── InvalidFieldError           a value of the wrong type or range, .field .value
├── InconsistentFieldsError     fields that contradict each other, .fields
├── UnknownFieldError           a name that the configuration does not have   (TypeError)
├── UnsupportedKeyError         behaviour of the format we do not implement, .keys
├── FrozenConfigError           an assignment to an immutable configuration   (AttributeError)
├── UnknownModelTypeError       no such family                                (LookupError)
└── UnknownQuantMethodError     no such quantization method                   (LookupError)
```
A missing file is FileMissingError and a file that is not JSON is JsonFileError, both of `hf_hub_io.errors`.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from typing import Self

from hf_hub_io.errors import HfError


def nearest(name: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The `count` names of `known` that look most like `name`, best first."""
    return tuple(difflib.get_close_matches(name, list(known), n=count, cutoff=0.5))


def suggest(name: str, known: Iterable[str]) -> str:
    """A clause such as "; did you mean 'llama', 'llama4'?", or nothing when no name is near."""
    names = nearest(name, known)
    return f"; did you mean {', '.join(map(repr, names))}?" if names else ""


class ConfigError(HfError, ValueError):
    """A configuration that cannot be used; `file` is where it was read from, if it was."""

    def __init__(self, what: str, *, fix: str = "") -> None:
        self.file: str | None = None
        super().__init__(what, fix=fix)

    def in_file(self, file: str) -> Self:
        """This error, now naming the file it was read from (an inner file is kept)."""
        if self.file is None:
            self.file = file
            self.what = f"{self.what} (in {file})"
            self.args = (self.what,)
        return self


class InvalidFieldError(ConfigError):
    """A field holds a value of the wrong type or outside its range."""

    def __init__(self, owner: str, field: str, value: object, expected: str, *, fix: str = "") -> None:
        self.field = field
        self.value = value
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{owner}.{field} is {shown}, expected {expected}", fix=fix)


class InconsistentFieldsError(ConfigError):
    """Two or more fields contradict each other."""

    def __init__(self, what: str, *, fields: Sequence[str], fix: str) -> None:
        self.fields = tuple(fields)
        super().__init__(what, fix=fix)


class UnknownFieldError(ConfigError, TypeError):
    """A constructor or `replace` was given a name that the configuration does not have."""

    def __init__(self, owner: str, field: str, known: Iterable[str]) -> None:
        self.field = field
        super().__init__(
            f"{owner} has no field {field!r}{suggest(field, known)}",
            fix=f"correct the name; keys of your own go into extra={{{field!r}: ...}}",
        )


class UnsupportedKeyError(ConfigError):
    """A config.json switches on behaviour that its format defines and this library does not implement."""

    def __init__(self, owner: str, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"{owner} asks for what is not implemented here: {', '.join(keys)}",
            fix="remove the listed keys from config.json if the checkpoint does not need them",
        )


class FrozenConfigError(ConfigError, dataclasses.FrozenInstanceError):
    """An attribute of an immutable configuration was assigned or deleted."""

    def __init__(self, owner: str, field: str) -> None:
        self.field = field
        super().__init__(
            f"{owner}.{field} cannot be changed: configurations are immutable",
            fix=f"make a changed copy: config = config.replace({field}=...)",
        )


class UnknownModelTypeError(ConfigError, LookupError):
    """No family is registered under this model_type."""

    def __init__(self, model_type: str, known: Iterable[str]) -> None:
        self.model_type = model_type
        super().__init__(
            f"unknown model_type {model_type!r}{suggest(model_type, known)}",
            fix="correct model_type in config.json, or install the package that registers the family"
            " under the entry point group hf_config.families",
        )


class UnknownQuantMethodError(ConfigError, LookupError):
    """quantization_config names a method that is not known."""

    def __init__(self, method: str, known: Iterable[str]) -> None:
        names = sorted(known)
        self.method = method
        super().__init__(
            f"unknown quant_method {method!r}{suggest(method, names)}",
            fix=f"use one of {', '.join(names)}",
        )
