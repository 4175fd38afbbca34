"""The language of negative controls: changes of a built spec, each a single wrong fact."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from hf_modeling.spec import DecoderSpec, EncoderSpec

S = TypeVar("S", DecoderSpec, EncoderSpec)
Edit = Callable[[Any], Any]
"""From a spec to another of its kind."""


def each(kind: type, change: Callable[[Any], object]) -> Edit:
    """Every value of that type, wherever it is in the spec, changed."""

    def walk(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(walk, value))
        if is_dataclass(value) and not isinstance(value, type):
            value = replace(value, **{f.name: walk(getattr(value, f.name)) for f in fields(value)})
        return change(value) if isinstance(value, kind) else value

    def edit(spec: S) -> S:
        edited = walk(spec)
        assert isinstance(edited, type(spec))
        return edited

    return edit


def having(kind: type, **facts: object) -> Edit:
    """Every value of that type with these facts instead of its own."""
    return each(kind, lambda value: replace(value, **facts))


def instead(kind: type, other: object) -> Edit:
    """Something else in place of every value of that type."""
    return each(kind, lambda value: other)


def shifted(spec: S) -> S:
    """The facts of each layer given to the one before it."""
    return replace(spec, blocks=(*spec.blocks[1:], spec.blocks[0]))


def wired(kind: type, other: type) -> Edit:
    """Blocks of one wiring as blocks of another one: what both have stays."""

    def change(block: Any) -> object:
        kept = {f.name for f in fields(other)} & {f.name for f in fields(block)}
        return other(**{name: getattr(block, name) for name in kept})

    return each(kind, change)


@dataclass(frozen=True)
class Control:
    """One wrong fact about one row."""

    row: str
    fact: str
    edit: Edit
