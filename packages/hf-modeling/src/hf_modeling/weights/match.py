"""Matching names against the patterns of a table: a trie of segments, so each pattern is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, final

from hf_modeling.weights.table import SUFFIXES

Binding = Mapping[str, str]
"""What each placeholder of a pattern stood for in one name."""


class Match(NamedTuple):
    """Pattern number `slot` of rule number `rule` fits a name under `binding`."""

    rule: int
    slot: int
    binding: Binding


@final
@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    holes: dict[str, _Node] = field(default_factory=dict)
    ends: list[tuple[int, int]] = field(default_factory=list)


@final
class Patterns:
    """Numbered rules' patterns, ready to be matched. A name costs at most one visit per node of the trie."""

    def __init__(self, rules: Iterable[tuple[str, ...]]) -> None:
        self._root = _Node()
        for number, patterns in enumerate(rules):
            for slot, pattern in enumerate(patterns):
                node = self._root
                for segment in pattern.split("."):
                    branch = node.holes if segment.startswith("{") else node.literals
                    node = branch.setdefault(segment.strip("{}"), _Node())
                node.ends.append((number, slot))

    def match(self, name: str) -> list[Match]:
        """Every pattern that fits `name`, in the order of the rules."""
        segments = name.split(".")
        found = [
            Match(number, slot, dict(binding))
            for node, binding in _walk(self._root, segments, 0, ())
            for number, slot in node.ends
        ]
        return sorted(found, key=lambda m: m[:2])


def _walk(
    node: _Node, segments: list[str], at: int, bound: tuple[tuple[str, str], ...]
) -> Iterator[tuple[_Node, tuple[tuple[str, str], ...]]]:
    if at == len(segments):
        yield node, bound
        return
    segment = segments[at]
    if literal := node.literals.get(segment):
        yield from _walk(literal, segments, at + 1, bound)
    for hole, child in node.holes.items():
        if hole == "rest":
            yield child, (*bound, (hole, ".".join(segments[at:])))
        elif segment in SUFFIXES if hole == "s" else is_index(segment):
            yield from _walk(child, segments, at + 1, (*bound, (hole, segment)))


def is_index(segment: str) -> bool:
    """Whether `segment` is a number as formatting writes it: no sign, no leading zero."""
    return segment.isascii() and segment.isdecimal() and (segment == "0" or segment[0] != "0")


def fill(pattern: str, binding: Binding) -> str:
    """`pattern` with its placeholders replaced from `binding`."""
    return ".".join(binding[seg[1:-1]] if seg.startswith("{") else seg for seg in pattern.split("."))
