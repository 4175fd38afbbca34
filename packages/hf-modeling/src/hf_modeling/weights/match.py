"""Matching names against the patterns of a table: a trie of segments, so each pattern is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
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

    def __init__(self, rules: Iterable[tuple[str, ...]], suffixes: Mapping[str, str] = SUFFIXES) -> None:
        self._root = _Node()
        self._suffixes = suffixes
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
        found: list[Match] = []
        pending: list[tuple[_Node, int, Binding]] = [(self._root, 0, {})]
        while pending:
            node, at, bound = pending.pop()
            if at == len(segments):
                found += [Match(number, slot, bound) for number, slot in node.ends]
                continue
            segment = segments[at]
            if literal := node.literals.get(segment):
                pending.append((literal, at + 1, bound))
            for hole, child in node.holes.items():
                if hole == "rest":
                    pending.append((child, len(segments), {**bound, hole: ".".join(segments[at:])}))
                elif (
                    value := self._suffixes.get(segment, "") if hole == "s" else is_index(segment) and segment
                ):
                    pending.append((child, at + 1, {**bound, hole: value}))
        return sorted(found, key=_ORDER) if len(found) > 1 else found


_ORDER = itemgetter(0, 1)


def is_index(segment: str) -> bool:
    """Whether `segment` is a number as formatting writes it: no sign, no leading zero."""
    return segment.isascii() and segment.isdecimal() and (segment == "0" or segment[0] != "0")
