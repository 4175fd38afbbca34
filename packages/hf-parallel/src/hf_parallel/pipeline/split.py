"""Cutting a decoder into stages: which layers each holds, on which rank it is, and what its forward pass does.

A stage is the model itself with the other stages' parts taken out, so names stay what they are. B batch, T
tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from hf_modeling.build import mixer_of
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import Attention, DecoderSpec, LatentAttention, ModelSpec, PreviousIndex, SharedKeyValue
from hf_modeling.step import begin
from hf_parallel.errors import Problem
from hf_parallel.options import ParallelOptions, Schedule
from hf_parallel.spec import ParallelSpec
from hf_parallel.wrap import Forward, around

V_SHAPED: frozenset[Schedule] = frozenset({"zbv", "dualpipe_v"})
"""Schedules in which the first rank holds the last stage too."""
LOOPED: frozenset[Schedule] = frozenset({"interleaved", "looped_bfs", "interleaved_zb", *V_SHAPED})
"""Schedules with several stages on each rank."""
ZERO_BUBBLE: frozenset[Schedule] = frozenset({"interleaved_zb", *V_SHAPED})
"""Schedules that put off the gradients of weights; FSDP's hooks do not survive that."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Layers `first` to `last` of a model, as stage `index` of `count`."""

    index: int
    count: int
    first: int
    last: int

    @property
    def is_first(self) -> bool:
        """Whether it reads token ids."""
        return self.index == 0

    @property
    def is_last(self) -> bool:
        """Whether it gives logits."""
        return self.index == self.count - 1


def stages_of_rank(layers: int, ways: int, rank: int, options: ParallelOptions) -> tuple[Stage, ...]:
    """The stages that `rank` of `ways` holds, in the order of the model.

    Layers are spread as evenly as they go; the middle stages get the odd ones, as the first also embeds and
    the last also makes logits.
    """
    count = ways * options.stages_per_rank
    if options.schedule in V_SHAPED:
        held: tuple[int, ...] = (rank, 2 * ways - 1 - rank)
    else:
        held = tuple(rank + ways * turn for turn in range(options.stages_per_rank))
    bounds = _bounds(layers, count)
    return tuple(
        Stage(index=index, count=count, first=bounds[index], last=bounds[index + 1]) for index in held
    )


def _bounds(layers: int, count: int) -> list[int]:
    sizes = [layers // count] * count
    middle = sorted(range(count), key=lambda index: (index in (0, count - 1), abs(index - (count - 1) / 2)))
    for index in middle[: layers % count]:
        sizes[index] += 1
    bounds = [0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    return bounds


def make_stage(model: PreTrainedModel, stage: Stage, *, sequence_ways: int) -> nn.Module:
    """Take from `model`, still on meta, what other stages hold, and give it the forward pass of its stage.

    It maps token ids (B, T), or hidden states (B, T / sequence_ways, D), to hidden states or logits, and takes
    `attention_mask` and `position_ids`, both (B, T), by name. Returns its first layer.
    """
    assert isinstance(model, CausalLM), "other models are refused"
    base = model.model
    kept = {str(index): layer for index, layer in enumerate(base.layers) if stage.first <= index < stage.last}
    base._modules["layers"] = nn.ModuleDict(kept)
    if not stage.is_first:
        base._modules["embed_tokens"] = base._modules["stem"] = None
    if not stage.is_last:
        base._modules["norm"] = base._modules["project_out"] = None
        model._modules["lm_head"] = model._modules["lm_transform"] = None
    around(model, lambda _: _forward(model, tuple(kept.values()), stage, sequence_ways))
    return next(iter(kept.values()))


def _forward(model: CausalLM, layers: Sequence[nn.Module], stage: Stage, sequence_ways: int) -> Forward:
    base = model.model

    def forward(
        x: Tensor, *, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        h_BTD = base.embed_tokens(x) if stage.is_first else x
        step = begin(
            batch=h_BTD.shape[0],
            new=h_BTD.shape[1] * (1 if stage.is_first else sequence_ways),
            device=h_BTD.device,
            attention_mask=attention_mask,
            position_ids=position_ids,
        )
        if stage.is_first and base.stem is not None:
            h_BTD = base.stem(h_BTD, None, step)
        for layer in layers:
            h_BTD = layer(h_BTD, step)
        if not stage.is_last:
            return h_BTD.contiguous()  # as it is sent
        h_BTD = base.norm(h_BTD) if base.project_out is None else base.project_out(base.norm(h_BTD))
        return model.logits(F.dropout(h_BTD, base.dropout, model.training))

    return forward


def pipeline_problems(
    cls: type[PreTrainedModel], spec: ModelSpec, layout: ParallelSpec, options: ParallelOptions
) -> Iterator[Problem]:
    """Why a model cannot be run as a pipeline of this layout and schedule."""
    if not isinstance(spec, DecoderSpec) or not issubclass(cls, CausalLM):
        yield Problem(
            where=cls.__name__, rule="pipelines end in a causal language model", instead="leave pp out"
        )
        return
    stages = layout.pp * options.stages_per_rank
    if len(spec.blocks) < stages:
        yield Problem(
            where="layers",
            rule=f"{len(spec.blocks)} layers cannot fill {stages} stages",
            instead=f"pp * stages_per_rank must be at most {len(spec.blocks)}",
        )
        return
    if spec.embed.per_layer is not None:
        yield Problem(where="embed_per_layer", rule="every layer reads token ids", instead="leave pp out")
    yield from _of_schedule(layout, options)
    bounds = _bounds(len(spec.blocks), stages)
    stage_of = [sum(index >= bound for bound in bounds[1:]) for index in range(len(spec.blocks))]
    lender = 0
    for index, block in enumerate(spec.blocks):
        mixer = mixer_of(block)
        source = (
            mixer.kv.layer if isinstance(mixer, Attention) and isinstance(mixer.kv, SharedKeyValue) else None
        )
        if isinstance(mixer, LatentAttention) and mixer.index is not None:
            if isinstance(mixer.index, PreviousIndex):
                source = lender
            else:
                lender = index
        if source is not None and stage_of[source] != stage_of[index]:
            yield Problem(
                where=f"layers.{index}.self_attn",
                rule=f"it reads what layer {source} of another stage made",
                instead="fewer stages",
            )


def _of_schedule(layout: ParallelSpec, options: ParallelOptions) -> Iterator[Problem]:
    schedule, each = options.schedule, options.stages_per_rank
    if schedule in V_SHAPED and each != 2:
        yield Problem(
            where="schedule", rule=f"{schedule} puts 2 stages on a rank", instead="stages_per_rank=2"
        )
    elif (schedule in LOOPED) != (each > 1):
        wanted = "2 or more" if schedule in LOOPED else "1"
        yield Problem(
            where="schedule",
            rule=f"{schedule} puts {wanted} stages on a rank, not {each}",
            instead=f"stages_per_rank={wanted.split()[0]}",
        )
    if schedule in ZERO_BUBBLE:
        for name, on in (("offload", options.offload), ("param_dtype", options.param_dtype is not None)):
            if on:
                yield Problem(
                    where="schedule",
                    rule=f"{schedule} keeps whole weights, and {name} needs shards",
                    instead="schedule='1f1b'",
                )
        if layout.ep > 1:
            yield Problem(where="schedule", rule=f"{schedule} and ep", instead="schedule='1f1b'")
