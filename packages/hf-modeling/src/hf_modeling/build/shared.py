"""What is shared across one model while it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from hf_modeling.errors import SpecError
from hf_modeling.layers.alibi import AlibiBias, Bias
from hf_modeling.layers.attend import Backend
from hf_modeling.layers.relative import shared_bias
from hf_modeling.layers.rope import Rotary
from hf_modeling.spec import (
    Attention,
    Block,
    Crossed,
    FfnOnly,
    GeometricAlibi,
    InterleavedAlibi,
    Mixer,
    Relative,
    Rope,
    ScaledSandwich,
    SharedBias,
    SharedKeyValue,
    StackSpec,
)


@final
@dataclass(frozen=True, kw_only=True)
class Building:
    """The model's width and attention backend (None: the fastest that fits), and what layers have in common.

    `lenders` are the layers whose keys and values later layers borrow, `relative` is what all know of distances.
    """

    width: int
    backend: Backend | None = None
    lenders: frozenset[int] = frozenset()
    relative: Relative | None = None
    _rotaries: dict[Rope, Rotary] = field(default_factory=dict)
    _alibis: dict[tuple[GeometricAlibi | InterleavedAlibi, int, float], AlibiBias] = field(
        default_factory=dict
    )

    def rotary(self, spec: Rope) -> Rotary:
        """The one rotation for all layers that describe theirs alike. Raises SpecError for an odd size."""
        if spec.dim % 2:
            raise SpecError(
                f"{spec.dim} features of each head cannot turn in pairs",
                fix="make head_dim, or the share of it that rotates, an even number; left out of a config it is "
                "hidden_size // num_attention_heads",
            )
        found = self._rotaries.get(spec)
        if found is None:
            found = self._rotaries[spec] = Rotary(spec)
        return found

    def alibi(self, spec: GeometricAlibi | InterleavedAlibi | SharedBias, heads: int, scale: float) -> Bias:
        """The one bias for all layers that describe theirs alike."""
        if isinstance(spec, SharedBias):
            return shared_bias
        key = (spec, heads, scale)
        found = self._alibis.get(key)
        if found is None:
            found = self._alibis[key] = AlibiBias(spec, heads, scale)
        return found


def start(spec: StackSpec, backend: Backend | None = None) -> Building:
    """What is shared while the blocks of `spec` are built."""
    mixers = (mixer_of(block) for block in spec.blocks)
    sources = (mixer.kv for mixer in mixers if isinstance(mixer, Attention))
    lenders = frozenset(source.layer for source in sources if isinstance(source, SharedKeyValue))
    return Building(width=spec.width, backend=backend, lenders=lenders, relative=spec.relative)


def mixer_of(block: Block) -> Mixer | None:
    """The mixer of a block, if it has one."""
    if isinstance(block, ScaledSandwich):
        return block.sandwich.mixer
    if isinstance(block, Crossed):
        return block.block.mixer
    return None if isinstance(block, FfnOnly) else block.mixer
