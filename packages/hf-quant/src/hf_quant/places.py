"""Where a model keeps weights that may be packed, and putting packed ones there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import final

import torch
from torch import nn

from hf_modeling.model import PreTrainedModel
from hf_modeling.weights.slots import Slot, find_slots
from hf_modeling.weights.table import MEMORY_PREFIX
from hf_quant.codec import Shape
from hf_quant.report import Decision, Line
from hf_quant.stacking import specs_of
from hf_quant.stored import module_of
from hf_quant.swap import Quantized, is_embedding, put_packed, quantized_layers, why_not
from hf_quant.units import Unit


@final
class Places:
    """A model's weights, by their names in a model with a head."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        is_base = isinstance(model, PreTrainedModel) and model.task == "base"
        self.prefix = MEMORY_PREFIX if is_base else ""
        self.slots, self.ties = find_slots(model, self.prefix)
        self.shapes: Mapping[str, Shape] = {n: tuple(s.tensor.shape) for n, s in self.slots.items()}

    @cached_property
    def why_not(self) -> Mapping[str, str]:
        """Why each weight cannot be packed where it is; empty if it can."""
        return {name: why_not(slot) for name, slot in self.slots.items()}

    @cached_property
    def outputs(self) -> frozenset[str]:
        """The layers outside of the base model, which give its results, and those that share their weights."""
        heads = {name for name in self.slots if not name.startswith(MEMORY_PREFIX)}
        shared = {owner for name, owner in self.ties.items() if name in heads}
        return frozenset(map(module_of, heads | shared))

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The name of each layer."""
        return [(module_of(name),) for name in self.slots]

    def is_linear(self, name: str) -> bool:
        """Whether it is the weight of a linear layer."""
        slot = self.slots[name]
        return isinstance(slot.owner, nn.Linear) and slot.name == "weight"

    def refusal(self, names: Sequence[str], *, embeddings: bool) -> str | None:
        """Why these weights are not packed by a method that packs embeddings or does not."""
        for name in names:
            if self.why_not[name]:
                return self.why_not[name]
            if is_embedding(self.slots[name]) and not embeddings:
                return "embeddings"
        return None

    def put(self, unit: Unit, types: Mapping[str, torch.dtype], dtype: torch.dtype) -> None:
        """Replace layers by packed ones, on meta; layers that shared a weight share its parts.

        types: the element types of parts in the checkpoint, where they are known.
        """
        for name, shape in zip(unit.memory, unit.regroup.memory, strict=True):
            specs = specs_of(unit.codec, shape)
            parts = {
                part: torch.empty(specs[part].shape, dtype=types.get(part, specs[part].dtype), device="meta")
                for part in unit.regroup.names
            }
            same = [name, *(alias for alias, owner in self.ties.items() if owner == name)]
            for place in same:
                put_packed(self._model, self.slots[place], unit.codec, parts, shape, dtype)

    def lines(
        self, decisions: Mapping[str, tuple[Decision, str]], errors: Mapping[str, float], dtype: torch.dtype
    ) -> Iterator[Line]:
        """The report's lines, in the order of the model; weights that nobody decided about are plain."""
        packed = dict(quantized_layers(self._model))
        done: set[str] = set()
        for name, slot in self.slots.items():
            layer = packed.get(slot.path)
            path = slot.path if layer is not None else module_of(name.removeprefix(self.prefix))
            if path in done or name in self.ties:
                continue
            if layer is None and not (_is_matrix(slot) and (not self.why_not[name] or name in decisions)):
                continue
            done.add(path)
            yield self._line(path, slot, layer, decisions, errors, dtype)

    def _line(
        self,
        path: str,
        slot: Slot,
        layer: Quantized | None,
        decisions: Mapping[str, tuple[Decision, str]],
        errors: Mapping[str, float],
        dtype: torch.dtype,
    ) -> Line:
        spellings = [f"{self.prefix}{path}", f"{self.prefix}{path}.weight"]
        decision, reason = next((decisions[name] for name in spellings if name in decisions), ("plain", ""))
        before = slot.tensor.nbytes if layer is None else prod(layer.shape) * dtype.itemsize
        after = before if layer is None else sum(part.nbytes for part in layer.parts().values())
        return Line(
            module=path,
            decision=decision,
            reason=reason,
            codec="" if layer is None else str(layer.codec),
            bytes_before=before,
            bytes_after=after,
            error=next((errors[name] for name in spellings if name in errors), None),
            kernel="" if layer is None else layer.kernel_name,
        )


def _is_matrix(slot: Slot) -> bool:
    return slot.tensor.ndim > 1
