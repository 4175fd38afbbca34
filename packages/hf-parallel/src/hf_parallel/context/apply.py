"""Joining a model's attention over the ranks of `cp`, and saying which models cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import assert_never

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from hf_modeling.build import mixer_of
from hf_modeling.layers.attend import Attend
from hf_modeling.layers.attention import Scoring
from hf_modeling.layers.base import Mixer
from hf_modeling.spec import (
    Attention,
    ChannelMix,
    Crossed,
    DecoderSpec,
    DifferentialAttention,
    DynamicScaling,
    EncoderSpec,
    LatentAttention,
    LongRopeScaling,
    MaskRule,
    MixerOnly,
    MixtureOfAttention,
    ModelSpec,
    Rope,
    ScaledSandwich,
)
from hf_modeling.step import Step
from hf_parallel.context.attend import GatherAttend, RingAttend, UlyssesAttend, context_mask
from hf_parallel.context.order import ContextOrder, look_around
from hf_parallel.errors import Problem
from hf_parallel.options import ContextKind
from hf_parallel.wrap import Forward, around


def apply_context(
    model: nn.Module, first: nn.Module, order: ContextOrder, group: ProcessGroup, kind: ContextKind
) -> None:
    """Let the attention of `model` see the tokens of all ranks; `first` is the first of its layers to run."""
    rules: set[MaskRule] = set()
    for module in model.modules():
        if isinstance(module, Mixer) and module.scoring is not None:
            rules.add(module.scoring.rule)
            module.scoring = replace(module.scoring, attend=_attend(module.scoring, group, kind))

    def wrap(inner: Forward) -> Forward:
        def forward(h_BTD: Tensor, step: Step, *others: object) -> Tensor:
            sight = step.once("context", lambda: look_around(step, order, group))
            for rule in rules:
                # The mask that layers with this rule will find, instead of one over this rank's tokens.
                step.once(rule, partial(context_mask, rule, sight))
            return inner(h_BTD, step, *others)

        return forward

    around(first, wrap)


def _attend(scoring: Scoring, group: ProcessGroup, kind: ContextKind) -> Attend:
    match kind:
        case "gather":
            return GatherAttend(inner=scoring.attend, group=group)
        case "ring":
            return RingAttend(eager=scoring.eager, group=group)
        case "ulysses":
            return UlyssesAttend(inner=scoring.attend, group=group)
        case _:
            assert_never(kind)


def context_problems(spec: ModelSpec, kind: ContextKind) -> Iterator[Problem]:
    """Why a model's sequences cannot be cut over `cp`."""
    if not isinstance(spec, DecoderSpec | EncoderSpec):
        yield Problem(where="the model", rule="two stacks of layers", instead="leave cp out")
        return
    for index, block in enumerate(spec.blocks):
        where = f"layers.{index}"
        mixer = mixer_of(block)
        if isinstance(block, Crossed):
            yield Problem(where=where, rule="it reads another stack", instead="leave cp out")
            continue
        inner = block.sandwich if isinstance(block, ScaledSandwich) else block
        if not isinstance(inner, MixerOnly) and isinstance(inner.ffn, ChannelMix):
            yield Problem(where=where, rule="its network reads the previous token", instead="leave cp out")
        match mixer:
            case None:
                pass
            case Attention():
                yield from _of_attention(mixer, f"{where}.self_attn", kind)
            case LatentAttention():
                if mixer.index is not None:
                    yield Problem(
                        where=f"{where}.self_attn", rule="an index chooses its keys", instead="leave cp out"
                    )
                yield from _of_rope(mixer.rope, f"{where}.self_attn")
                yield from _of_dropout(mixer.dropout, f"{where}.self_attn", kind)
            case DifferentialAttention() | MixtureOfAttention():
                yield from _of_rope(mixer.rope, f"{where}.self_attn")
                yield from _of_dropout(mixer.dropout, f"{where}.self_attn", kind)
            case _:
                yield Problem(
                    where=f"{where}.self_attn",
                    rule=f"{type(mixer).__name__} reads its neighbours in order, or a state they leave",
                    instead="leave cp out, and use tp or dp_shard",
                )


def _of_attention(spec: Attention, where: str, kind: ContextKind) -> Iterator[Problem]:
    if spec.index is not None:
        yield Problem(where=where, rule="an index chooses its keys", instead="leave cp out")
    if spec.alibi is not None:
        yield Problem(where=where, rule="a bias by distance", instead="leave cp out")
    yield from _of_dropout(spec.dropout, where, kind)
    yield from _of_rope(spec.rope, where)


def _of_dropout(dropout: float, where: str, kind: ContextKind) -> Iterator[Problem]:
    if dropout and kind == "ring":
        yield Problem(where=where, rule="dropout on scores", instead="context='gather', or no dropout")


def _of_rope(rope: Rope | None, where: str) -> Iterator[Problem]:
    if rope is not None and isinstance(rope.scaling, DynamicScaling | LongRopeScaling):
        yield Problem(where=where, rule="rotary frequencies depend on the length", instead="leave cp out")
