"""A model's plan on a layout: which parts each rank runs, and where every parameter is. Data, made on meta.

The plan follows from the model's spec: each mechanism knows how it falls into shares (`split`), so families need
not be named. Print it to see it; `replicate` takes parts out of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, cast, final

from hf_config import PreTrainedConfig
from hf_modeling.init import without_weights
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import (
    Block,
    Crossed,
    DecoderSpec,
    DualFfn,
    Embed,
    EncoderSpec,
    Ffn,
    FfnOnly,
    Mixer,
    MixerOnly,
    ModelSpec,
    Moe,
    ScaledSandwich,
)
from hf_modeling.weights.slots import find_slots
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.placements import FIRST, WHOLE, Cut, Part, Placement, local_shape, style
from hf_parallel.spec import ParallelSpec
from hf_parallel.split import Unsplit, split_ffn, split_mixer

Work = Literal["heads", "inner", "tokens", "vocabulary", "whole"]
"""What ranks share out in a part: its heads, its inner features, its tokens, its rows of the vocabulary; or nothing."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A part of the model that is entered and left as one, and how its work is shared out over `tp`."""

    path: str
    work: Work
    why: str = ""
    split_norms: tuple[str, ...] = ()
    sparse: bool = False


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a layout makes of a model.

    whole: the spec of the whole model. spec: that of one rank's share; built like any other, it is what a rank runs.
    shapes: whole shapes of parameters and saved buffers by name; ties: a name to the one whose weight it is.
    placements: by name; what is not listed is whole.
    vocabulary: whole numbers of rows of the token table.
    """

    layout: ParallelSpec
    whole: ModelSpec
    spec: ModelSpec
    units: tuple[Unit, ...]
    shapes: Mapping[str, tuple[int, ...]]
    ties: Mapping[str, str]
    placements: Mapping[str, Placement]
    vocabulary: int
    padding_id: int | None

    def placement(self, name: str) -> Placement:
        """Where a parameter is."""
        return self.placements.get(name, WHOLE)

    def ways(self, name: str) -> int:
        """Over how many ranks its placement spreads it."""
        held = self.placement(name)
        return self.layout.ep if isinstance(held, Cut) and held.axis == "ep" else self.layout.tp

    def unit_of(self, name: str) -> Unit | None:
        """The part that a parameter belongs to."""
        return next((unit for unit in self.units if name.startswith(f"{unit.path}.")), None)

    def __str__(self) -> str:
        """One line for each kind of parameter, layers that are alike taken together."""
        lines = [f"layout {self.layout or 'of one process'}"]
        for pattern, (count, shape, held) in _alike(self).items():
            times = f"{count} x " if count > 1 else ""
            ways = self.layout.ep if isinstance(held, Cut) and held.axis == "ep" else self.layout.tp
            here = list(local_shape(held, shape, ways))
            lines.append(f"  {pattern:<52} {times}{list(shape)} -> {here}  {style(held, shape)}")
        reasons = Counter(unit.why for unit in self.units if unit.work == "whole" and unit.why)
        lines += [f"  computed whole by each rank, {count} parts: {why}" for why, count in reasons.items()]
        return "\n".join(lines)


ModelClass = type[PreTrainedModel]


def outline(cls: ModelClass, config: PreTrainedConfig, spec: ModelSpec) -> PreTrainedModel:
    """A model of this class and spec, without memory."""
    make = cast("Callable[[PreTrainedConfig, ModelSpec], PreTrainedModel]", cls)
    with without_weights():
        return make(config, spec)


def make_plan(
    cls: ModelClass,
    config: PreTrainedConfig,
    layout: ParallelSpec,
    *,
    replicate: tuple[str, ...] = (),
) -> Plan:
    """The plan for a model of `cls` on `layout`. Reads no weights and needs no processes.

    replicate: patterns of parts (`"model.layers.*.self_attn"`) that each rank is to compute whole.

    Raises:
        LayoutMismatchError: sizes that do not fall into shares; it lists all of them, and what would do.
    """
    spec = cls.family.spec(config)
    model = outline(cls, config, spec)
    slots, ties = find_slots(model)
    shapes = {name: tuple(slot.tensor.shape) for name, slot in slots.items()}
    if not isinstance(spec, DecoderSpec | EncoderSpec):
        if layout.tp * layout.ep * layout.pp * layout.cp > 1:
            raise LayoutMismatchError(
                f"{cls.__name__} is not one stack of layers",
                [Problem(where=cls.__name__, rule="only data parallel axes apply", instead="use dp_shard")],
                fix="use dp_replicate and dp_shard",
            )
        return Plan(
            layout=layout,
            whole=spec,
            spec=spec,
            units=(),
            shapes=shapes,
            ties=ties,
            placements={},
            vocabulary=0,
            padding_id=None,
        )
    planner = _Planner(layout, "" if cls.task == "base" else "model.", replicate)
    blocks = tuple(planner.block(block, index) for index, block in enumerate(spec.blocks))
    embed = planner.embed(spec.embed, ties)
    if "lm_head.weight" in shapes:
        planner.head()
    if layout.ep > 1 and not any(unit.sparse for unit in planner.units):
        planner.problems.append(
            Problem(where=cls.__name__, rule="it has no experts to spread", instead="leave ep out")
        )
    if planner.problems:
        raise LayoutMismatchError(
            f"{cls.__name__} does not fall into the shares of {layout}",
            planner.problems,
            fix=_nearest(spec, layout),
        )
    known = {name: held for name, held in planner.placements.items() if name in shapes}
    return Plan(
        layout=layout,
        whole=spec,
        spec=replace(spec, blocks=blocks, embed=embed),
        units=tuple(planner.units),
        shapes=shapes,
        ties=ties,
        placements=known,
        vocabulary=spec.embed.vocab,
        padding_id=spec.embed.padding_id,
    )


@final
class _Planner:
    """Walks a spec; collects each part's share, its placements, and what stands in the way."""

    def __init__(self, layout: ParallelSpec, prefix: str, replicate: tuple[str, ...]) -> None:
        self.layout, self.prefix, self.replicate = layout, prefix, replicate
        self.units: list[Unit] = []
        self.placements: dict[str, Placement] = {}
        self.problems: list[Problem] = []

    def block(self, block: Block, index: int) -> Block:
        path = f"{self.prefix}layers.{index}"
        if isinstance(block, ScaledSandwich):
            inner = block.sandwich
            local = replace(
                inner,
                mixer=self._mixer(inner.mixer, f"{path}.self_attn"),
                ffn=self._ffn(inner.ffn, f"{path}.mlp"),
            )
            return replace(block, sandwich=local)
        if isinstance(block, Crossed):
            return block
        if isinstance(block, FfnOnly):
            return replace(block, ffn=self._ffn(block.ffn, f"{path}.mlp"))
        if isinstance(block, MixerOnly):
            return replace(block, mixer=self._mixer(block.mixer, f"{path}.self_attn"))
        mixer = self._mixer(block.mixer, f"{path}.self_attn")
        return replace(block, mixer=mixer, ffn=self._ffn(block.ffn, f"{path}.mlp"))

    def embed(self, embed: Embed, ties: Mapping[str, str]) -> Embed:
        path = f"{self.prefix}embed_tokens"
        if self.layout.tp == 1 or self._kept_whole(path):
            return embed
        part = Part(embed.vocab)
        self.units.append(Unit(path=path, work="vocabulary"))
        self.placements[f"{path}.weight"] = Cut(0, (part,))
        # The row that gets no gradient is remembered by the table that replaces this one.
        return replace(embed, vocab=part.share(self.layout.tp), padding_id=None)

    def head(self) -> None:
        table = self.placements.get(f"{self.prefix}embed_tokens.weight")
        if table is not None:
            self.units.append(Unit(path="lm_head", work="vocabulary"))
            self.placements |= {"lm_head.weight": table, "lm_head.bias": table}

    def _mixer(self, spec: Mixer, path: str) -> Mixer:
        if self.layout.tp == 1:
            return spec
        if self._kept_whole(path):
            return spec
        share = split_mixer(spec, self.layout.tp)
        if isinstance(share, Unsplit):
            self._unsplit(share, path)
            return spec
        self.units.append(Unit(path=path, work="heads", split_norms=share.split_norms))
        self.placements |= {f"{path}.{name}": held for name, held in share.placements.items()}
        return share.spec

    def _ffn(self, spec: Ffn, path: str) -> Ffn:
        if isinstance(spec, Moe | DualFfn) and self.layout.ep > 1:
            return self._experts(spec, path)
        if self.layout.tp == 1 or self._kept_whole(path):
            return spec
        share = split_ffn(spec, self.layout.tp)
        if isinstance(share, Unsplit):
            self._unsplit(share, path)
            return spec
        sparse = isinstance(spec, Moe | DualFfn)
        self.units.append(Unit(path=path, work="inner", split_norms=share.split_norms, sparse=sparse))
        self.placements |= {f"{path}.{name}": held for name, held in share.placements.items()}
        return share.spec

    def _experts(self, spec: Moe | DualFfn, path: str) -> Ffn:
        """With experts on ranks of their own, everything around them is whole, and works on a share of the tokens."""
        moe = spec.sparse if isinstance(spec, DualFfn) else spec
        inner = f"{path}.sparse" if isinstance(spec, DualFfn) else path
        if moe.count % self.layout.ep:
            self.problems.append(
                Problem(
                    where=f"{inner}.experts",
                    rule=f"{moe.count} experts do not fall evenly on ep={self.layout.ep}",
                    instead=f"ep must divide {moe.count}",
                )
            )
        self.units.append(Unit(path=path, work="tokens", sparse=True))
        held = Cut(0, (Part(moe.count),), axis="ep")
        for name in (
            "gate_up_proj",
            "up_proj",
            "down_proj",
            "gate_up_proj_bias",
            "up_proj_bias",
            "down_proj_bias",
        ):
            self.placements[f"{inner}.experts.{name}"] = held
        return spec

    def _unsplit(self, found: Unsplit, path: str) -> None:
        if found.obstacle is None:
            self.units.append(Unit(path=path, work="whole", why=found.why))
            return
        needs = " and ".join(map(str, dict.fromkeys(found.obstacle.divides)))
        self.problems.append(
            Problem(
                where=path,
                rule=f"{found.obstacle.what} do not fall evenly on tp={self.layout.tp}",
                instead=f"tp must fit {needs}, or pass replicate=({path!r},)",
            )
        )

    def _kept_whole(self, path: str) -> bool:
        if any(fnmatchcase(path, pattern) for pattern in self.replicate):
            self.units.append(Unit(path=path, work="whole", why="as asked"))
            return True
        return False


def _nearest(spec: DecoderSpec | EncoderSpec, layout: ParallelSpec) -> str:
    """The layouts like this one that would do, nearest first."""
    fitting = []
    for tp in range(1, 2 * layout.tp + 1):
        for ep in range(1, 2 * layout.ep + 1) if layout.ep > 1 else (1,):
            inner = layout.dp_shard * layout.cp * tp
            if inner % ep == 0 and not _obstacles(spec, replace(layout, tp=tp, ep=ep)):
                fitting.append((abs(tp - layout.tp) + abs(ep - layout.ep), replace(layout, tp=tp, ep=ep)))
    best = [str(found) or "one process" for _, found in sorted(fitting, key=lambda pair: pair[0])[:3]]
    return f"the nearest layouts that fit: {'; '.join(best)}"


def _obstacles(spec: DecoderSpec | EncoderSpec, layout: ParallelSpec) -> list[Problem]:
    planner = _Planner(layout, "", ())
    for block in dict.fromkeys(spec.blocks):
        planner.block(block, 0)
    return planner.problems


def _alike(plan: Plan) -> dict[str, tuple[int, tuple[int, ...], Placement]]:
    """Parameters by name with layer numbers left out: how many, of which shape, held how."""
    found: dict[tuple[str, tuple[int, ...], Placement], int] = {}
    for name, shape in plan.shapes.items():
        key = (_pattern(name), shape, plan.placement(name))
        found[key] = found.get(key, 0) + 1
    lines: dict[str, tuple[int, tuple[int, ...], Placement]] = {}
    for (pattern, shape, held), count in found.items():
        while pattern in lines:  # layers of another shape or placement get a line of their own
            pattern += "'"
        lines[pattern] = (count, shape, held)
    return lines


def _pattern(name: str) -> str:
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))


def first_only(plan: Plan) -> Iterator[str]:
    """Names that only the first rank of `tp` has."""
    return (name for name, held in plan.placements.items() if held == FIRST)
