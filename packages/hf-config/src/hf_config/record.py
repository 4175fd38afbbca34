"""Records: immutable typed objects read from JSON, with derived fields, aliases and unknown keys."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from types import NoneType
from typing import (
    Any,
    ClassVar,
    Generic,
    Never,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    get_type_hints,
    overload,
)

from hf_config.convert import JsonObject, MismatchError, convert, encode_special_floats, plain
from hf_config.errors import (
    FrozenConfigError,
    InconsistentFieldsError,
    InvalidFieldError,
    UnknownFieldError,
)
from hf_hub_io.jsonio import JsonValue, dump_json

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Alias(Generic[T]):
    """A second name for a field, in Python and in files: `hidden_size = Alias[int]("n_embd")`."""

    def __init__(self, target: str) -> None:
        self.target = target

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object, owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = getattr(instance, self.target)
        return value


@dataclass(frozen=True, kw_only=True)
class Completion:
    """How a field gets its value: `run(record, given, absorbed)`, reading other spellings from `absorbs`."""

    run: Callable[[Any, object, Mapping[str, object]], object]
    absorbs: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()


def completed(
    run: Callable[[Never, object, Mapping[str, object]], object],
    *,
    absorbs: tuple[str, ...] = (),
    restarts: tuple[str, ...] = (),
    compare: bool = True,
) -> Any:  # as dataclasses.field: the annotation beside it is the type, and the result is converted to it
    """A field whose value is always `run(record, given or None, absorbed)`.

    `absorbs` names keys of older formats which this field replaces; `restarts` names keys whose change by
    `replace` forgets the given value. Fields are completed in the order of their declaration.
    """
    completion = Completion(run=run, absorbs=absorbs, restarts=restarts)
    return field(default=None, compare=compare, metadata={"completion": completion})


def derived(run: Callable[[Never], T]) -> T:
    """A field that is `run(record)` when it is absent or null, such as a head size."""

    def complete(owner: Never, given: object, absorbed: Mapping[str, object]) -> object:
        return run(owner) if given is None else given

    value: T = completed(complete)
    return value


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record(cls: type[R]) -> type[R]:
    """Class decorator: makes annotated names fields, all keyword-only; the instances are immutable."""
    return dataclass(init=False, repr=False, kw_only=True)(cls)


@dataclass(frozen=True, kw_only=True)
class _Slot:
    """One field of a record class, resolved once per class."""

    name: str
    kind: object
    nullable: bool
    default: Field[Any]
    completion: Completion | None


@cache
def _slots(cls: type["Record"]) -> tuple[_Slot, ...]:
    hints = get_type_hints(cls)
    return tuple(
        _Slot(
            name=f.name,
            kind=hints[f.name],
            nullable=hints[f.name] is object or NoneType in get_args(hints[f.name]),
            default=f,
            completion=f.metadata.get("completion"),
        )
        for f in fields(cls)
        if f.name != "extra"
    )


@cache
def _aliases(cls: type["Record"]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found.update({name: value.target for name, value in vars(base).items() if isinstance(value, Alias)})
    return found


@cache
def _absorbed(cls: type["Record"]) -> frozenset[str]:
    names = {slot.name for slot in _slots(cls)}
    return frozenset(
        key for slot in _slots(cls) if slot.completion for key in slot.completion.absorbs if key not in names
    )


@record
class Record(JsonObject):
    """Base of every configuration object: typed fields, unknown keys in `extra`, immutable."""

    OMIT_NULL: ClassVar[bool] = False
    """Whether null fields are left out when writing."""

    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    def __init__(self, **values: object) -> None:
        cls = type(self)
        values = _own_names(cls, values)
        known = {slot.name for slot in _slots(cls)} | _absorbed(cls) | {"extra"}
        for name in values:
            if name not in known:
                raise UnknownFieldError(cls.__name__, name, known - {"extra"})
        state = vars(self)
        state["extra"] = _as_extra(cls, values.pop("extra", None))
        state["_given"] = frozenset(values)
        late: list[_Slot] = []
        for slot in _slots(cls):
            if slot.completion is None:
                state[slot.name] = (
                    _checked(cls, slot, values[slot.name]) if slot.name in values else _default(cls, slot)
                )
            else:
                late.append(slot)
        for slot in late:
            _complete(self, slot, values)
        self.check()

    def check(self) -> None:
        """Raises if fields contradict each other; called once, after every field has its value."""

    @classmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self:
        """The record of a parsed JSON object.

        Keys that nobody defines are kept in `extra`; null in a field that cannot be null means its default.
        """
        known = cls.field_names() | _absorbed(cls) | _aliases(cls).keys()
        null_is_default = {slot.name for slot in _slots(cls) if not slot.nullable}
        values = {
            key: value
            for key, value in data.items()
            if key in known and not (value is None and _aliases(cls).get(key, key) in null_is_default)
        }
        return cls(**values, extra={key: value for key, value in data.items() if key not in known})

    @classmethod
    def field_names(cls) -> frozenset[str]:
        """The names of the typed fields, without aliases and without `extra`."""
        return frozenset(slot.name for slot in _slots(cls))

    @classmethod
    def aliases(cls) -> Mapping[str, str]:
        """Further names of fields, each with the field it stands for."""
        return _aliases(cls)

    def was_given(self, name: str) -> bool:
        """Whether the field was in the file or the call, even as null, rather than derived or left out."""
        return name in vars(self)["_given"]

    def to_dict(self) -> dict[str, JsonValue]:
        """Every field and every kept unknown key, in JSON's own types."""
        written = {slot.name: plain(getattr(self, slot.name)) for slot in _slots(type(self))}
        if self.OMIT_NULL:
            written = {name: value for name, value in written.items() if value is not None}
        return {**self.extra, **written}

    def to_json_string(self) -> str:
        """`to_dict()` as indented JSON with sorted keys and a final newline."""
        return dump_json(encode_special_floats(self.to_dict()), sort_keys=True)

    def replace(self, **changes: object) -> Self:
        """A copy with the named fields changed; what was derived before is derived anew.

        Raises UnknownFieldError or InvalidFieldError exactly as the constructor does.
        """
        cls = type(self)
        changes = _own_names(cls, changes)
        state = vars(self)
        kept = {name: state[name] for name in state["_given"] if name in state and name not in changes}
        for slot in _slots(cls):
            # A field given in an older spelling is as given as any other, until that spelling changes.
            spellings = {slot.name, *slot.completion.absorbs} if slot.completion else set()
            if state["_given"] & spellings and not spellings & changes.keys():
                kept[slot.name] = state[slot.name]
            if slot.completion and not changes.keys().isdisjoint(slot.completion.restarts):
                kept.pop(slot.name, None)
        return cls(**{"extra": self.extra, **kept, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenConfigError(type(self).__name__, name)

    def __delattr__(self, name: str) -> None:
        raise FrozenConfigError(type(self).__name__, name)

    def __repr__(self) -> str:
        cls = type(self)
        shown = [f"{name}={vars(self)[name]!r}" for name in sorted(vars(self)["_given"] & cls.field_names())]
        return f"{cls.__name__}({', '.join(shown)})"


def _own_names(cls: type[Record], values: Mapping[str, object]) -> dict[str, object]:
    aliases = _aliases(cls)
    named: dict[str, object] = {}
    for name, value in values.items():
        own = aliases.get(name, name)
        if own in named and named[own] != value:
            spellings = sorted(key for key in values if aliases.get(key, key) == own)
            raise InconsistentFieldsError(
                f"{cls.__name__}: {' and '.join(spellings)} are one field and hold different values",
                fields=spellings,
                fix=f"keep only {own}",
            )
        named[own] = value
    return named


def _as_extra(cls: type[Record], value: object) -> dict[str, JsonValue]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidFieldError(cls.__name__, "extra", value, "a mapping of further keys")
    return {str(key): plain(item) for key, item in value.items()}


def _default(cls: type[Record], slot: _Slot) -> object:
    if slot.default.default_factory is not MISSING:
        return slot.default.default_factory()
    if slot.default.default is MISSING:
        raise InvalidFieldError(
            cls.__name__, slot.name, None, "a value, which has no default", fix=f"give {slot.name}"
        )
    return slot.default.default


def _checked(cls: type[Record], slot: _Slot, value: object) -> object:
    try:
        return convert(value, slot.kind)
    except MismatchError as mismatch:
        raise InvalidFieldError(
            cls.__name__, slot.name, value, mismatch.expected, fix=mismatch.fix or f"correct {slot.name}"
        ) from None


def _complete(owner: Record, slot: _Slot, values: Mapping[str, object]) -> None:
    assert slot.completion is not None
    absorbed = {key: values[key] for key in slot.completion.absorbs if values.get(key) is not None}
    value = slot.completion.run(owner, values.get(slot.name), absorbed)
    vars(owner)[slot.name] = _checked(type(owner), slot, value)
