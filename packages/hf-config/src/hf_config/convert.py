"""JSON values to the types that a record's annotations promise, and back."""

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, Self, Union, get_args, get_origin, runtime_checkable

from hf_config.errors import nearest
from hf_hub_io.jsonio import JsonValue

_SPECIAL_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@runtime_checkable
class JsonObject(Protocol):
    """What a field may hold beside plain values: an object read from, and written to, a JSON object."""

    @classmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self: ...

    def to_dict(self) -> dict[str, JsonValue]: ...


class MismatchError(Exception):
    """A value does not fit the kind in `args[0]`. Records turn it into InvalidFieldError."""


def convert(value: object, kind: object) -> object:
    """`value` as type `kind`: lists become tuples, JSON objects become records. Raises MismatchError.

    Library objects such as torch.bfloat16 fit a literal by the last word of their text.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for member in arguments:
            try:
                return convert(value, member)
            except MismatchError:
                continue
    elif origin is Literal:
        for choice in arguments:
            if type(value) is type(choice) and value == choice:
                return choice
            if choice == str(value).removeprefix("torch.") and not isinstance(value, (bool, int, float)):
                return choice
    elif origin is tuple and isinstance(value, (list, tuple)):
        kinds = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(convert(item, item_kind) for item, item_kind in zip(value, kinds, strict=True))
    elif origin is Mapping and isinstance(value, Mapping):
        # JSON has only text keys; id2label counts in integers.
        counted = arguments[0] is int
        return {
            convert(
                int(key) if counted and isinstance(key, str) and key.isdecimal() else key, arguments[0]
            ): convert(item, arguments[1])
            for key, item in value.items()
        }
    elif isinstance(kind, type):
        if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, Mapping) and issubclass(kind, JsonObject):
            return kind.from_dict(value)
    raise MismatchError(kind)


def exact_types(kind: object) -> frozenset[type]:
    """The types whose values fit `kind` as they are, whatever the value."""
    if get_origin(kind) in (Union, UnionType):
        return frozenset[type]().union(*map(exact_types, get_args(kind)))
    return (
        frozenset({kind})
        if kind in (bool, int, float, str, NoneType) and isinstance(kind, type)
        else frozenset()
    )


def exact_texts(kind: object) -> frozenset[str]:
    """The texts that fit `kind` because a literal in it lists them."""
    if get_origin(kind) in (Union, UnionType):
        return frozenset[str]().union(*map(exact_texts, get_args(kind)))
    return (
        frozenset(choice for choice in get_args(kind) if isinstance(choice, str))
        if get_origin(kind) is Literal
        else frozenset()
    )


def hint(value: object, kind: object) -> str:
    """The nearest text that would fit, as a clause, or nothing."""
    near = nearest(value, exact_texts(kind), 1) if isinstance(value, str) else ()
    return f"the nearest is {near[0]!r}" if near else ""


def describe(kind: object) -> str:
    """The type in words a reader of config.json knows, such as "a list of an integer, or null"."""
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return ", or ".join(describe(argument) for argument in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple:
        return (
            f"a list of {describe(arguments[0]) if arguments[-1] is Ellipsis else f'{len(arguments)} values'}"
        )
    if origin is Mapping:
        return f"an object of {describe(arguments[1])}"
    return _WORDS.get(kind) or f"an object ({getattr(kind, '__name__', kind)})"


_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    object: "any value",
    NoneType: "null",
}


def plain(value: object) -> JsonValue:
    """`value` in JSON's own types: tuples as lists, records as objects, keys as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, JsonObject):
        return value.to_dict()
    raise TypeError(f"{value!r} cannot be written as JSON")


def encode_special_floats(value: JsonValue) -> JsonValue:
    """`value` with infinities and NaN as {"__float__": "Infinity"}: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, dict):
        return {key: encode_special_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [encode_special_floats(item) for item in value]
    return value


def decode_special_floats(value: JsonValue) -> JsonValue:
    """The inverse of `encode_special_floats`; anything else is returned as it came."""
    if isinstance(value, dict):
        tag = value.get("__float__") if len(value) == 1 else None
        if isinstance(tag, str) and tag in _SPECIAL_FLOATS:
            return _SPECIAL_FLOATS[tag]
        return {key: decode_special_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_special_floats(item) for item in value]
    return value
