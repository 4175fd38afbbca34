"""Records: immutable typed objects read from JSON, with derived fields, aliases and unknown keys."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from inspect import Parameter, Signature
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

from hf_config.convert import (
    MismatchError,
    convert,
    describe,
    encode_special_floats,
    exact_texts,
    exact_types,
    hint,
    plain,
)
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
    """How a field gets a value that is not simply given: at most one of the functions is set.

    `complete(record, given, absorbed)` always decides, `derive(record)` where nothing is given; with neither,
    the field is one that older files call by another name.
    """

    complete: Callable[[Any, object, Mapping[str, object]], object] | None = None
    derive: Callable[[Any], object] | None = None
    absorbs: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()


def completed(
    run: Callable[[Never, object, Mapping[str, object]], object],
    *,
    absorbs: tuple[str, ...] = (),
    restarts: tuple[str, ...] = (),
) -> Any:  # as dataclasses.field: the annotation beside it is the type, and the result is converted to it
    """A field whose value is always `run(record, given or None, absorbed)`.

    `absorbs` names keys of older formats which this field replaces; `restarts` names keys whose change by
    `replace` forgets the given value. Fields are completed in the order of their declaration.
    """
    completion = Completion(complete=run, absorbs=absorbs, restarts=restarts)
    return field(default=None, metadata={"completion": completion})


def derived(run: Callable[[Never], T], *, restarts: tuple[str, ...] = ()) -> T:
    """A field that is `run(record)` when it is absent or null, such as a head size."""
    completion = Completion(derive=run, restarts=restarts)
    value: T = field(default=None, metadata={"completion": completion})  # type: ignore[assignment] # never None
    return value


def once_called(older: str, default: T, *, compare: bool = True) -> T:
    """A field that older files call `older`; its own name wins where both are present."""
    return field(default=default, compare=compare, metadata={"completion": Completion(absorbs=(older,))})


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One field of a record class, resolved once per class."""

    name: str
    kind: object
    nullable: bool
    types: frozenset[type]
    texts: frozenset[str]
    default: Field[Any]
    completion: Completion | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What building a record of one class needs to know. Completed fields come last, as they read the others."""

    slots: tuple[Slot, ...]
    aliases: Mapping[str, str]
    names: frozenset[str]
    keys: frozenset[str]


def _planned(cls: type["Record"]) -> Plan:
    hints = get_type_hints(cls)
    slots = [
        Slot(
            name=f.name,
            kind=hints[f.name],
            nullable=hints[f.name] is object or NoneType in get_args(hints[f.name]),
            types=exact_types(hints[f.name]),
            texts=exact_texts(hints[f.name]),
            default=f,
            completion=f.metadata.get("completion"),
        )
        for f in fields(cls)
        if f.name != "extra"
    ]
    aliases: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        aliases.update({name: value.target for name, value in vars(base).items() if isinstance(value, Alias)})
    names = frozenset(slot.name for slot in slots)
    absorbed = {key for slot in slots if slot.completion for key in slot.completion.absorbs}
    return Plan(
        slots=tuple(sorted(slots, key=lambda slot: slot.completion is not None)),
        aliases=aliases,
        names=names,
        keys=names | absorbed,
    )


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def record(cls: type[R]) -> type[R]:
    """Class decorator: makes annotated names fields, all keyword-only; the instances are immutable."""
    built = dataclass(init=False, repr=False, kw_only=True)(cls)
    built.PLAN = _planned(built)
    built.__signature__ = _signature(built)  # type: ignore[attr-defined] # read by help() and notebooks
    return built


def _signature(cls: type["Record"]) -> Signature:
    shown = [
        Parameter(
            slot.name,
            Parameter.KEYWORD_ONLY,
            default=None if slot.default.default is MISSING else slot.default.default,
            annotation=slot.kind,
        )
        for slot in cls.PLAN.slots
    ]
    return Signature(shown)


@record
class Record:
    """Base of every configuration object: typed fields, unknown keys in `extra`, immutable."""

    PLAN: ClassVar[Plan]
    """How to build a record of this class; `record` works it out once."""

    OMIT_NULL: ClassVar[bool] = False
    """Whether null fields are left out when writing."""

    extra: Mapping[str, JsonValue] = field(default_factory=dict)

    def __init__(self, **values: object) -> None:
        cls = type(self)
        plan = cls.PLAN
        if not plan.aliases.keys().isdisjoint(values):
            values = _own_names(cls, values)
        extra = values.pop("extra", None)
        for name in values.keys() - plan.keys:
            raise UnknownFieldError(cls.__name__, name, plan.keys | plan.aliases.keys())
        state = vars(self)
        if extra is None:
            extra = {}
        if not isinstance(extra, Mapping):
            raise InvalidFieldError(cls.__name__, "extra", extra, "a mapping of further keys")
        state["extra"] = {str(key): plain(item) for key, item in extra.items()}
        state["_given"] = plan.keys & values.keys()
        for slot in plan.slots:
            completion = slot.completion
            value = values.get(slot.name)
            if completion is None:
                if slot.name not in values:
                    value = slot.default.default
                    if value is MISSING:
                        value = _made_default(cls, slot)
            elif completion.complete is not None:
                absorbed = {key: values[key] for key in completion.absorbs if values.get(key) is not None}
                value = completion.complete(self, value, absorbed)
            elif value is None:
                if completion.derive is not None:
                    value = completion.derive(self)
                else:
                    value = values.get(completion.absorbs[0], slot.default.default)
            # Most values fit as they are; only the others cost a call.
            if type(value) not in slot.types and not (type(value) is str and value in slot.texts):
                value = _converted(cls, slot, value)
            state[slot.name] = value
        self.check()

    def check(self) -> None:
        """Raises if fields contradict each other; called once, after every field has its value."""

    @classmethod
    def from_dict(cls, data: Mapping[str, object], /) -> Self:
        """The record of a parsed JSON object.

        Keys that nobody defines are kept in `extra`; null in a field that cannot be null means its default.
        """
        return cls(**cls.sort_keys(data))

    @classmethod
    def sort_keys(cls, data: Mapping[str, object]) -> dict[str, Any]:
        """The constructor's arguments for a parsed JSON object: what nobody defines goes into `extra`."""
        plan = cls.PLAN
        required = {slot.name for slot in plan.slots if not slot.nullable}
        values: dict[str, Any] = {}
        extra: dict[str, object] = {}
        for key, value in data.items():
            if key not in plan.keys and key not in plan.aliases:
                extra[key] = value
            elif value is not None or plan.aliases.get(key, key) not in required:
                values[key] = value
        return {**values, "extra": extra}

    @classmethod
    def field_names(cls) -> frozenset[str]:
        """The names of the typed fields, without aliases and without `extra`."""
        return cls.PLAN.names

    @classmethod
    def aliases(cls) -> Mapping[str, str]:
        """Further names of fields, each with the field it stands for."""
        return cls.PLAN.aliases

    def was_given(self, name: str) -> bool:
        """Whether the field was in the file or the call, even as null, rather than derived or left out."""
        return name in vars(self)["_given"]

    def to_dict(self) -> dict[str, JsonValue]:
        """Every field and every kept unknown key, in JSON's own types."""
        written = {slot.name: plain(vars(self)[slot.name]) for slot in type(self).PLAN.slots}
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
        if not cls.PLAN.aliases.keys().isdisjoint(changes):
            changes = _own_names(cls, changes)
        state = vars(self)
        given = state["_given"]
        kept = {name: state[name] for name in given if name in state and name not in changes}
        for slot in cls.PLAN.slots:
            # A field given in an older spelling is as given as any other, until that spelling changes.
            spellings = {slot.name, *slot.completion.absorbs} if slot.completion else set()
            if given & spellings and not spellings & changes.keys():
                kept[slot.name] = state[slot.name]
            if slot.completion and not changes.keys().isdisjoint(slot.completion.restarts):
                kept.pop(slot.name, None)
        return cls(**{"extra": self.extra, **kept, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenConfigError(type(self).__name__, name)

    def __delattr__(self, name: str) -> None:
        raise FrozenConfigError(type(self).__name__, name)

    def __repr__(self) -> str:
        state = vars(self)
        shown = [f"{name}={state[name]!r}" for name in sorted(state["_given"] & self.field_names())]
        return f"{type(self).__name__}({', '.join(shown)})"


def _own_names(cls: type[Record], values: Mapping[str, object]) -> dict[str, object]:
    aliases = cls.PLAN.aliases
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


def _made_default(cls: type[Record], slot: Slot) -> object:
    if slot.default.default_factory is not MISSING:
        return slot.default.default_factory()
    raise InvalidFieldError(
        cls.__name__, slot.name, None, "a value, which has no default", fix=f"give {slot.name}"
    )


def _converted(cls: type[Record], slot: Slot, value: object) -> object:
    try:
        return convert(value, slot.kind)
    except MismatchError:
        raise InvalidFieldError(
            cls.__name__,
            slot.name,
            value,
            describe(slot.kind),
            fix=hint(value, slot.kind) or f"correct {slot.name}",
        ) from None
