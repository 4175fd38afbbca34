"""A model as text: the spec its config resolves to, and how its weights lie on disk.

What a family does is read here at once, instead of in the files that say it; goldens of these prints are kept,
so a change of any shared part shows in every family it touches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

from hf_config import AutoConfig, PreTrainedConfig
from hf_hub_io.discover import discover
from hf_hub_io.repo import Repo
from hf_modeling.families import find_family
from hf_modeling.weights.ops import Same
from hf_modeling.weights.table import Drop, Rule, WeightTable

if TYPE_CHECKING:
    from hf_modeling.spec import Block

STEP = "  "


def show_model(config: PreTrainedConfig) -> str:
    """The spec and the weight table of the model that `config` describes, as lines of text.

    Fields at their defaults are left out; layers that are alike are shown once, with their numbers.
    """
    family = find_family(config.model_type)
    table = family.weights(config)
    lines = [
        f"{family.model_type}: {', '.join(family.classes.values())}",
        "",
        *_shown("spec", family.spec(config), ""),
        "",
        *_table(replace(table, rules=(*family.ignored, *table.rules))),
    ]
    return "\n".join(lines) + "\n"


def show_checkpoint(path: str | Path) -> str:
    """`show_model` of a local folder or a Hub repository, and what its weight files hold.

    Only the config and the files' headers are read. Raises as `Repo.open`, `AutoConfig.from_pretrained` and
    `discover`.
    """
    repo = Repo.open(path)
    checkpoint = discover(repo)
    lines = ["", "files"]
    for file in checkpoint.files:
        held = [tensor for tensor in checkpoint.tensors.values() if tensor.file == file.path]
        dtypes = ", ".join(sorted({tensor.dtype.value for tensor in held}))
        size = sum(tensor.end - tensor.start for tensor in held)
        lines.append(f"{STEP}{file.path.name}: {len(held)} tensors, {dtypes}, {size:,} bytes")
    return show_model(AutoConfig.from_pretrained(path)) + "\n".join(lines) + "\n"


def show_difference(left: PreTrainedConfig, right: PreTrainedConfig) -> str:
    """What is different between two models, as a unified diff of what `show_model` says; "" if nothing is."""
    ours, theirs = (show_model(config).splitlines(keepends=True) for config in (left, right))
    return "".join(unified_diff(ours, theirs, fromfile=left.model_type, tofile=right.model_type))


def _shown(name: str, value: object, indent: str) -> Iterator[str]:
    """Lines for one field: `name value`, or `name Type(...)`, or a tree where that would not be simple."""
    if name == "blocks":
        assert isinstance(value, tuple)
        for numbers, block in _alike(value):
            yield from _shown(f"blocks {numbers}", block, indent)
        return
    if not is_dataclass(value):
        yield f"{indent}{name} {value}"
        return
    given = [field for field in fields(value) if _is_given(field, getattr(value, field.name))]
    parts = {field.name: getattr(value, field.name) for field in given}
    kind = type(value).__name__
    if any(is_dataclass(part) or field == "blocks" for field, part in parts.items()):
        yield f"{indent}{name} {kind}"
        for field, part in parts.items():
            yield from _shown(field, part, indent + STEP)
    else:
        inside = ", ".join(f"{field}={part!r}" for field, part in parts.items())
        yield f"{indent}{name} {kind}({inside})" if inside else f"{indent}{name} {kind}"


def _is_given(field: Field[object], value: object) -> bool:
    return field.default is MISSING or value != field.default


def _alike(blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    """Each distinct block with the numbers of its layers, in the order in which they first come."""
    numbers: dict[Block, list[int]] = {}
    for index, block in enumerate(blocks):
        numbers.setdefault(block, []).append(index)
    return [(_ranges(indices), block) for block, indices in numbers.items()]


def _ranges(numbers: Sequence[int]) -> str:
    """ "0-3, 5, 7-8"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _table(table: WeightTable) -> Iterator[str]:
    yield f"weights (disk <-> memory), prefix {table.prefix!r}"
    for rule in table.rules:
        yield STEP + _rule(rule)
    yield f"{STEP}other names are the same on both sides"
    if table.fp32:
        yield f"{STEP}kept in float32: {', '.join(table.fp32)}"


def _rule(rule: Rule | Drop) -> str:
    where = "" if rule.layers is None else f"  in layers {_ranges(sorted(rule.layers))}"
    if isinstance(rule, Drop):
        return f"{' + '.join(rule.disk)} left out: {rule.why}{where}"
    op = "" if isinstance(rule.op, Same) else f"  {rule.op}"
    return f"{' + '.join(rule.disk)} <-> {' + '.join(rule.memory)}{op}{where}"
