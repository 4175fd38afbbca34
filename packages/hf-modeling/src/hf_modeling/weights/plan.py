"""From names and shapes to steps: which tensors go into which op, and what comes out. Reads no bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from hf_modeling.weights.errors import AmbiguousWeightsError, Mismatch
from hf_modeling.weights.match import Binding, Match, Patterns, fill
from hf_modeling.weights.ops import Same
from hf_modeling.weights.table import MEMORY_PREFIX, Drop, Rule, WeightTable, rule

Shapes = Mapping[str, tuple[int, ...]]

SAME_NAMES = rule("{rest}", "{rest}")
"""The last rule of every table: a name that nothing else claims is the same on both sides."""

OTHER_HEAD = "a head that this model does not have"
LEFT_OUT = "left out by the caller"

HEADS = frozenset({"lm_head", "lm_transform", "pooler", "qa_outputs", "score", "seq_relationship"})
"""First segments, with the base model's own taken off, of parts that one task has and another lacks."""


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One application of a rule; `inputs` names the tensors its op reads, in order."""

    rule: Rule
    binding: Binding
    inputs: tuple[str, ...]

    def load(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Memory names and tensors from the disk tensors `inputs`."""
        return self._named(self.rule.memory, self.rule.op.forward(tensors))

    def save(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Disk names and tensors from the memory tensors `inputs`."""
        return self._named(self.rule.disk, self.rule.op.inverse(tensors))

    def _named(self, patterns: tuple[str, ...], results: list[Tensor]) -> dict[str, Tensor]:
        numbers = range(len(results) // len(patterns))
        names = [name for pattern in patterns for name in spelled(self.rule, pattern, self.binding, numbers)]
        return dict(zip(names, results, strict=True))


@final
@dataclass(kw_only=True)
class LoadPlan:
    """What loading will do, and everything that stands in its way.

    `repeats` are steps that give a tied weight a second time; `missing` maps a memory name to the disk names
    it would have come from.
    """

    steps: list[Step] = field(default_factory=list)
    repeats: list[Step] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mismatched: list[Mismatch] = field(default_factory=list)


def plan_load(
    table: WeightTable,
    disk: Shapes,
    wanted: Shapes,
    *,
    ties: Mapping[str, str],
    skip: Callable[[str], bool],
    where: str,
) -> LoadPlan:
    """The steps that turn the tensors on `disk` into the `wanted` ones (names as in a headed model).

    `ties` maps names to the name whose weight they share; `skip` says which disk tensors the caller gives up.
    Raises AmbiguousWeightsError; every other trouble is in the plan.
    """
    planner = _Planner(table, disk, wanted, skip, where)
    for name in disk:
        planner.claim(name)
    for group in planner.groups.values():
        planner.settle(group)
    planner.settle_ties(ties)
    planner.find_missing(ties)
    return planner.plan


def plan_save(table: WeightTable, memory: Collection[str]) -> list[Step]:
    """The steps that turn the tensors in `memory` (names as in a headed model) into those on disk."""
    rules = [r for r in (*table.rules, SAME_NAMES) if isinstance(r, Rule)]
    patterns = Patterns(r.memory for r in rules)
    groups: dict[_Key, _Group] = {}
    for name in memory:
        for match in patterns.match(name):
            group = _Group.of(rules[match.rule], match)
            if _guarded(group.rule, match) and all(n in memory for n in group.spelled(group.rule.memory)):
                groups.setdefault((match.rule, frozenset(group.binding.items())), group).add(match, name)
                break
    return [Step(group.rule, group.binding, group.inputs()) for group in groups.values()]


def spelled(rule: Rule, pattern: str, binding: Binding, numbers: Sequence[int]) -> list[str]:
    """The names `pattern` stands for under `binding`: one per number where the rule gathers, else one."""
    if rule.gathered is None or f"{{{rule.gathered}}}" not in pattern:
        return [fill(pattern, binding)]
    return [fill(pattern, {**binding, rule.gathered: str(number)}) for number in numbers]


_Key = tuple[int, frozenset[tuple[str, str]]]


@final
@dataclass(slots=True)
class _Group:
    """The names that one rule claims under one binding: by pattern, then by number where gathered."""

    rule: Rule
    binding: Binding
    found: dict[int, dict[int, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rule: Rule, match: Match) -> _Group:
        return cls(rule, {hole: value for hole, value in match.binding.items() if hole != rule.gathered})

    def add(self, match: Match, name: str) -> None:
        number = int(match.binding.get(self.rule.gathered or "", "0"))
        self.found.setdefault(match.slot, {})[number] = name

    def spelled(self, patterns: tuple[str, ...]) -> list[str]:
        return [name for pattern in patterns for name in spelled(self.rule, pattern, self.binding, (0,))]

    def inputs(self) -> tuple[str, ...]:
        return tuple(name for _, numbers in sorted(self.found.items()) for _, name in sorted(numbers.items()))

    def lost(self) -> tuple[str, ...]:
        """Disk names that the found ones imply: the rest of a fused set, or gaps in the numbering."""
        count = 1 + max(number for numbers in self.found.values() for number in numbers)
        return tuple(
            spelled(self.rule, pattern, self.binding, (number,))[0]
            for slot, pattern in enumerate(self.rule.disk)
            for number in range(count)
            if number not in self.found.get(slot, {})
        )


@final
class _Planner:
    """Builds a LoadPlan name by name."""

    def __init__(
        self, table: WeightTable, disk: Shapes, wanted: Shapes, skip: Callable[[str], bool], where: str
    ) -> None:
        self.plan = LoadPlan()
        self.groups: dict[_Key, _Group] = {}
        self._table, self._disk, self._wanted, self._skip, self._where = table, disk, wanted, skip, where
        self._rules = (*table.rules, SAME_NAMES)
        self._patterns = Patterns(r.disk for r in self._rules)
        self._bare = bool(table.prefix) and not any(name.startswith(table.prefix) for name in disk)
        self._given: dict[str, Step] = {}

    def claim(self, name: str) -> None:
        """Give `name` to the first rule that fits it and leads to weights the model has."""
        other_head = False
        for spelling in (self._table.prefix + name, name) if self._bare else (name,):
            for match in self._patterns.match(spelling):
                rule = self._rules[match.rule]
                if not _guarded(rule, match):
                    continue
                if isinstance(rule, Drop):
                    self.plan.dropped[name] = rule.why
                    return
                group = _Group.of(rule, match)
                key = (match.rule, frozenset(group.binding.items()))
                targets = () if key in self.groups else group.spelled(rule.memory)
                if all(target in self._wanted for target in targets):
                    self.groups.setdefault(key, group).add(match, name)
                    return
                other_head = other_head or _is_other_head(targets, self._wanted)
        if other_head:
            self.plan.dropped[name] = OTHER_HEAD
        else:
            self.plan.unexpected.append(name)

    def settle(self, group: _Group) -> None:
        """Turn a group into a step whose results have the right shapes, or record why it cannot be one."""
        inputs, targets = group.inputs(), group.spelled(group.rule.memory)
        if lost := group.lost():
            self.plan.missing.update(dict.fromkeys(targets, lost))
            self.plan.unexpected += inputs
            return
        step = Step(group.rule, group.binding, inputs)
        try:
            shapes = _result_shapes(step, self._disk)
        except (RuntimeError, ValueError) as error:  # torch's own words for sizes that do not add up
            self.plan.mismatched.append(
                Mismatch(
                    name=targets[0],
                    disk=inputs,
                    found=self._disk[inputs[0]],
                    needed=self._wanted[targets[0]],
                    blame=f"{group.rule.op}: {str(error).splitlines()[0]}",
                )
            )
            self._given.update(dict.fromkeys(targets, step))
            return
        for target, shape in shapes.items():
            if target in self._given:
                if not all(self._skip(name) for name in inputs):
                    raise AmbiguousWeightsError(target, self._given[target].inputs, inputs, where=self._where)
                self.plan.dropped.update(dict.fromkeys(inputs, LEFT_OUT))
                return
            if shape != (needed := self._wanted.get(target, shape)):
                self.plan.mismatched.append(Mismatch(name=target, disk=inputs, found=shape, needed=needed))
        self._given.update(dict.fromkeys(shapes, step))
        self.plan.steps.append(step)

    def settle_ties(self, ties: Mapping[str, str]) -> None:
        """Keep one step per shared weight, its owner's if there is one; the others only repeat it."""
        kept: set[str] = set()
        for name, owner in ties.items():
            if name in self._given:
                if owner in self._given or owner in kept:
                    self.plan.steps.remove(self._given[name])
                    self.plan.repeats.append(self._given[name])
                kept.add(owner)

    def find_missing(self, ties: Mapping[str, str]) -> None:
        """Record the wanted names that no step gives, and what they would be called on disk."""
        settled = {ties.get(name, name) for name in self._given}
        lacking = {n for n in self._wanted if ties.get(n, n) not in settled and n not in self.plan.missing}
        if not lacking:
            return
        for step in plan_save(self._table, self._wanted):
            if lacking.intersection(step.inputs):
                tensors = [
                    torch.empty(self._wanted[n], dtype=torch.uint8, device="meta") for n in step.inputs
                ]
                names = step.save(tensors)
                hint = tuple(n.removeprefix(self._table.prefix) if self._bare else n for n in names)
                self.plan.missing.update({n: hint for n in step.inputs if n in lacking})


def _guarded(rule: Rule | Drop, match: Match) -> bool:
    return rule.layers is None or int(match.binding["layer"]) in rule.layers


def _is_other_head(targets: Sequence[str], wanted: Collection[str]) -> bool:
    parts = {target.removeprefix(MEMORY_PREFIX).split(".")[0] for target in targets} & HEADS
    return bool(parts) and not any(n.removeprefix(MEMORY_PREFIX).split(".")[0] in parts for n in wanted)


def _result_shapes(step: Step, disk: Shapes) -> dict[str, tuple[int, ...]]:
    if isinstance(step.rule.op, Same):
        names = [fill(pattern, step.binding) for pattern in step.rule.memory]
        return {name: disk[source] for name, source in zip(names, step.inputs, strict=True)}
    tensors = [torch.empty(disk[name], dtype=torch.uint8, device="meta") for name in step.inputs]
    return {name: tuple(tensor.shape) for name, tensor in step.load(tensors).items()}
