"""JSON values to the types that a record's annotations promise, and back."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin

from hf_config.errors import nearest
from hf_hub_io.jsonio import JsonValue

_SPECIAL_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


class JsonObject(ABC):
    """What a field may hold beside plain values: an object read from, and written to, a JSON object."""

    @classmethod
    @abstractmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self: ...

    @abstractmethod
    def to_dict(self) -> dict[str, JsonValue]: ...


class MismatchError(Exception):
    """A value does not fit; `expected` says what would. Records turn it into InvalidFieldError."""

    def __init__(self, expected: str, fix: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.fix = fix


def convert(value: object, kind: object) -> object:
    """`value` as type `kind`: lists become tuples, JSON objects become records; raises MismatchError."""
    origin = get_origin(kind)
    if kind is object:
        return value
    if origin in (Union, UnionType):
        return _as_member(value, get_args(kind), kind)
    if origin is Literal:
        return _as_literal(value, get_args(kind))
    if origin is tuple:
        return _as_tuple(value, get_args(kind), kind)
    if origin is Mapping:
        return _as_mapping(value, get_args(kind), kind)
    if isinstance(kind, type):
        return _as_instance(value, kind)
    raise TypeError(f"a record field cannot have the type {kind!r}")


def _as_instance(value: object, kind: type) -> object:
    if kind in (int, float) and isinstance(value, bool):
        raise MismatchError(describe(kind))
    if isinstance(value, kind):
        return value
    if kind is float and isinstance(value, int):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if issubclass(kind, JsonObject) and isinstance(value, Mapping):
        return kind.from_dict(value)
    raise MismatchError(describe(kind))


def _as_member(value: object, members: tuple[object, ...], kind: object) -> object:
    fixes = []
    for member in members:
        try:
            return convert(value, member)
        except MismatchError as mismatch:
            fixes.append(mismatch.fix)
    raise MismatchError(describe(kind), next(filter(None, fixes), ""))


def _as_literal(value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    near = nearest(value, map(str, choices), 1) if isinstance(value, str) else ()
    fix = f"the nearest is {near[0]!r}" if near else ""
    raise MismatchError(f"one of {', '.join(map(repr, choices))}", fix)


def _as_tuple(value: object, items: tuple[object, ...], kind: object) -> object:
    if not isinstance(value, (list, tuple)):
        raise MismatchError(describe(kind))
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(convert(item, items[0]) for item in value)
    if len(items) != len(value):
        raise MismatchError(describe(kind))
    return tuple(convert(item, item_kind) for item, item_kind in zip(value, items, strict=True))


def _as_mapping(value: object, kinds: tuple[object, ...], kind: object) -> object:
    if not isinstance(value, Mapping):
        raise MismatchError(describe(kind))
    key_kind, item_kind = kinds
    return {_as_key(key, key_kind): convert(item, item_kind) for key, item in value.items()}


def _as_key(key: object, kind: object) -> object:
    # JSON has only text keys; id2label counts in integers.
    if kind is int and isinstance(key, str) and key.removeprefix("-").isdecimal():
        return int(key)
    return convert(key, kind)


def describe(kind: object) -> str:
    """The type in words a reader of config.json knows, such as "a list of integer, or null"."""
    arguments = get_args(kind)
    match get_origin(kind) or kind:
        case origin if origin in (Union, UnionType):
            return ", or ".join(describe(argument) for argument in arguments)
        case origin if origin is Literal:
            return f"one of {', '.join(map(repr, arguments))}"
        case origin if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"a list of {describe(arguments[0])}"
        case origin if origin is tuple:
            return f"a list of {len(arguments)} values"
        case origin if origin is Mapping:
            return f"an object of {describe(arguments[1])}"
        case simple if simple in _WORDS:
            return _WORDS[simple]
        case record:
            return f"an object ({getattr(record, '__name__', record)})"


_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    NoneType: "null",
}


def plain(value: object) -> JsonValue:
    """`value` in JSON's own types: tuples as lists, records as objects, keys as text."""
    if isinstance(value, JsonObject):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
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
