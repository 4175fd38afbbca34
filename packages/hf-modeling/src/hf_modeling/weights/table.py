"""The weight language: rules that pair names on disk with names in memory, read in either direction.

A family states once how its checkpoint is laid out; loading reads the rules left to right, saving right to
left, so nothing about saving is ever written down. Patterns are dotted names with placeholders as segments:

- `{layer}`, `{expert}` or any other name: a number; when only the disk side has it, the numbered tensors are
  gathered, in order, into the op's input (see `Stack`);
- `{s}`: `weight` or `bias`; on disk also `gamma` or `beta`, as the first BERT files have them;
- `{rest}`, last segment only: one or more segments.

The first rule that fits a name claims it. Names that no rule mentions are the same on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

from hf_modeling.weights.ops import Op, Same

MEMORY_PREFIX = "model."
"""Where every headed model keeps its base model, so `model.norm.weight` here is `norm.weight` in the base."""

SUFFIXES = {"weight": "weight", "bias": "bias"}
"""What `{s}` matches in memory, and what it stands for there."""
DISK_SUFFIXES = {**SUFFIXES, "gamma": "weight", "beta": "bias"}
"""What `{s}` matches on disk; saving writes the newer words."""


@final
@dataclass(frozen=True)
class Rule:
    """`disk` tensors become `memory` tensors through `op`; with `layers`, for these `{layer}` only.

    `as_stored` tensors keep the element type they have in the file: they are parts of packed weights.
    """

    disk: tuple[str, ...]
    memory: tuple[str, ...]
    op: Op = field(default_factory=Same)
    layers: frozenset[int] | None = None
    as_stored: bool = False
    gathered: str | None = field(init=False)
    """The placeholder that only one side has: its numbers are stacked by the op."""

    def __post_init__(self) -> None:
        disk, memory = placeholders(self.disk), placeholders(self.memory)
        if len(disk ^ memory) > 1 or (disk ^ memory) & {"s", "rest"}:
            raise ValueError(
                f"weight rule {self.disk} <-> {self.memory}: the two sides may differ in one number "
                f"placeholder, the one that is stacked; they differ in {sorted(disk ^ memory)}"
            )
        object.__setattr__(self, "gathered", next(iter(disk ^ memory), None))


@final
@dataclass(frozen=True)
class Drop:
    """Disk tensors that loading leaves out, and why: the reason is what the load report prints."""

    disk: tuple[str, ...]
    why: str
    layers: frozenset[int] | None = None


@final
@dataclass(frozen=True, kw_only=True)
class WeightTable:
    """How one family's checkpoint lies on disk.

    `prefix` is what the family puts before its base model's names (`bert.`, `transformer.`): patterns are
    written with it, and checkpoints of the bare base model, which lack it, load all the same. `fp32` lists
    memory patterns that stay in float32 whatever dtype the model is loaded in. `may_differ` lists tied names that
    are weights of their own where the file has another tensor for them. `computed` are memory patterns of constants
    that the file may leave out.
    """

    rules: tuple[Rule | Drop, ...] = ()
    prefix: str = MEMORY_PREFIX
    fp32: tuple[str, ...] = ()
    may_differ: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()


def rule(
    disk: str | tuple[str, ...],
    memory: str | tuple[str, ...],
    op: Op | None = None,
    *,
    layers: frozenset[int] | None = None,
) -> Rule:
    """One rule; a single name may be given bare, and without `op` it is a rename."""
    return Rule(_names(disk), _names(memory), op or Same(), layers)


def renames(
    names: Mapping[str, str], *, disk: str = "", memory: str = "", layers: frozenset[int] | None = None
) -> tuple[Rule, ...]:
    """A rename per item of `names` (disk name to memory name), both under a common prefix."""
    return tuple(Rule((disk + old,), (memory + new,), layers=layers) for old, new in names.items())


def drop(*disk: str, why: str, layers: frozenset[int] | None = None) -> Drop:
    """Disk patterns to leave out when loading, with the reason."""
    return Drop(disk, why, layers)


def respelled(table: WeightTable, begins: Mapping[str, str]) -> WeightTable:
    """The same table where names on disk begin otherwise: `begins` maps how they usually begin to how here."""
    for usual, here in begins.items():
        rules = tuple(
            replace(
                one, disk=tuple(here + p.removeprefix(usual) if p.startswith(usual) else p for p in one.disk)
            )
            for one in table.rules
        )
        others = (rule(here + "{rest}", usual + "{rest}"),) if here else ()
        prefix = here if table.prefix == usual else table.prefix
        table = replace(table, rules=(*rules, *others), prefix=prefix)
    return table


def placeholders(patterns: tuple[str, ...]) -> frozenset[str]:
    """The placeholder names that occur in `patterns`."""
    return frozenset(seg[1:-1] for pattern in patterns for seg in pattern.split(".") if seg.startswith("{"))


def _names(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
