"""Which layers stay as they are: one rule for every method."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import final

from hf_quant.errors import QuantizationConfigError

DEFAULT = "by default: outputs of the model, and what shares their weights"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """What a method's settings say about layers to leave alone.

    patterns: names of layers or regular expressions; None where the settings say nothing, which leaves out
        the output projection and whatever shares its weight.
    defaults: whether these are left out even where patterns are given.
    only: if given, layers outside of these modules are left alone (`"model.layers"`).
    """

    patterns: tuple[str, ...] | None = None
    defaults: bool = False
    only: tuple[str, ...] | None = None


def reason_to_skip(names: Iterable[str], skip: Skip, outputs: Set[str]) -> str | None:
    """Why a layer with these names (on disk, in memory) is left alone, or None.

    outputs: the names in memory of output projections and of what shares their weights.
    """
    names = tuple(names)
    if skip.only is not None and not any(_inside(name, part) for name in names for part in skip.only):
        return f"outside of {', '.join(skip.only)}"
    if (found := first_match(names, skip.patterns or ())) is not None:
        return f"settings: {found!r}"
    if (skip.patterns is None or skip.defaults) and not outputs.isdisjoint(names):
        return DEFAULT
    return None


def first_match(names: Iterable[str], patterns: Iterable[str]) -> str | None:
    """The first pattern that covers one of the names.

    A pattern covers a name that begins with it, as text or as a regular expression, up to a dot or the end;
    and one that ends with it, as text. A pattern may name the layer's weight (`"lm_head.weight"`).
    """
    names = tuple(names)
    for pattern in patterns:
        bare = pattern.removesuffix(".weight")
        expression = compiled(bare)
        if any(name.endswith(bare) or expression.match(name) for name in names):
            return pattern
    return None


def unmatched(patterns: Sequence[str], names: Collection[Sequence[str]]) -> list[str]:
    """The patterns that cover none of the layers, each given by its names."""
    return [p for p in patterns if not any(first_match(layer, (p,)) for layer in names)]


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of names as an expression that stops at a dot or the end. Raises QuantizationConfigError."""
    try:
        return re.compile(rf"(?:{pattern})(?:(?<=\.)|(?=\.|$))")
    except re.error as error:
        raise QuantizationConfigError(
            f"{pattern!r} among the names of layers is no regular expression: {error}",
            fix="write a layer's name, or an expression of Python's re module",
        ) from None


def _inside(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")
