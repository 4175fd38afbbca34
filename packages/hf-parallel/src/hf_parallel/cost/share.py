"""What one rank holds of a model: its parameters, and what backward keeps of its layers, for any `tp` and `ep`."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias, final

import torch

from hf_config import PreTrainedConfig
from hf_modeling.spec import Block
from hf_parallel.cost.measure import BlockFacts, ModelFacts, Saved, model_facts, saved_by, stack_of
from hf_parallel.placements import local_shape
from hf_parallel.plan import ModelClass, make_plan
from hf_parallel.spec import ParallelSpec

Dtypes: TypeAlias = str
"""The name of an element type, such as "bfloat16"."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerShare:
    """One layer on one rank: parameters outside and inside of routed experts, bytes a token that backward keeps."""

    facts: BlockFacts
    dense: int
    experts: int
    saved: Saved


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A model on one rank of `tp` and `ep`, before stages and shards."""

    layers: tuple[LayerShare, ...]
    embedding: int
    head: int
    other: int
    tied: bool


@final
class Measured:
    """A model whose costs were counted, each once: layouts that agree in `tp` and `ep` share what was found."""

    def __init__(self, cls: ModelClass, config: PreTrainedConfig) -> None:
        self.cls, self.config = cls, config
        self.facts: ModelFacts = model_facts(cls, config)
        self._shares: dict[tuple[int, int, str], Share] = {}
        self._saved: dict[tuple[Block, str], Saved] = {}

    def share(self, layout: ParallelSpec, dtype: str) -> Share:
        """One rank's part of the model on this layout, computing in `dtype`.

        Raises:
            LayoutMismatchError: the model does not fall into such shares.
        """
        key = (layout.tp, layout.ep, dtype)
        found = self._shares.get(key)
        if found is None:
            found = self._shares[key] = self._measure(layout, dtype)
        return found

    def _measure(self, layout: ParallelSpec, dtype: str) -> Share:
        plan = make_plan(self.cls, self.config, ParallelSpec(tp=layout.tp, dp_shard=layout.ep, ep=layout.ep))
        spec = stack_of(self.cls, plan.spec)
        prefix = "" if self.cls.task == "base" else "model."
        held = {
            name: prod(local_shape(plan.placement(name), shape, plan.ways(name)))
            for name, shape in plan.shapes.items()
            if name not in plan.ties
        }
        layers = []
        for index, (block, facts) in enumerate(zip(spec.blocks, self.facts.blocks, strict=True)):
            mine = {n: size for n, size in held.items() if n.startswith(f"{prefix}layers.{index}.")}
            experts = sum(size for name, size in mine.items() if ".experts." in name)
            layers.append(
                LayerShare(
                    facts=facts,
                    dense=sum(mine.values()) - experts,
                    experts=experts,
                    saved=self._saved_by(block, dtype),
                )
            )
        embedding = held.get(f"{prefix}embed_tokens.weight", 0)
        head = held.get("lm_head.weight", 0)
        inside = sum(layer.dense + layer.experts for layer in layers)
        return Share(
            layers=tuple(layers),
            embedding=embedding,
            head=head,
            other=sum(held.values()) - inside - embedding - head,
            tied="lm_head.weight" in plan.ties,
        )

    def _saved_by(self, block: Block, dtype: str) -> Saved:
        found = self._saved.get((block, dtype))
        if found is None:
            spec = stack_of(self.cls, self.cls.family.spec(self.config))
            found = saved_by(self.cls, self.config, spec, block, getattr(torch, dtype))
            self._saved[block, dtype] = found
        return found
