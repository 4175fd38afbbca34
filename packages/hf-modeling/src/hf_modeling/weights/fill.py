"""Running the steps of a plan: read, convert, cast, move, put; and undoing that for parts that stay on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from hf_modeling.weights.errors import NonFiniteWeightsError, TiedWeightsError, UnsupportedDTypeError
from hf_modeling.weights.match import Patterns
from hf_modeling.weights.ops import Same, Transpose
from hf_modeling.weights.plan import LEFT_OUT, Step

if TYPE_CHECKING:
    from hf_modeling.device_map import DeviceMap
    from hf_modeling.weights.slots import Slot
    from hf_modeling.weights.source import Source

_READERS = min(4, os.cpu_count() or 1)  # each holds one tensor more than the weights

COMPUTE_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
"""Element types that models calculate in; others are packings, which only quantized modules read."""


@final
class Filler:
    """Runs steps: reads their inputs, applies the op, casts, moves, and puts the results in their slots."""

    def __init__(
        self,
        source: Source,
        slots: Mapping[str, Slot],
        ties: Mapping[str, str],
        *,
        devices: DeviceMap,
        dtype: torch.dtype,
        fp32: tuple[str, ...],
    ) -> None:
        self.bytes_mapped = 0
        self._source, self._slots, self._devices, self._base_dtype = source, slots, devices, dtype
        self._fp32 = Patterns([fp32]) if fp32 else None
        self._shared: dict[str, list[str]] = {}
        for name, owner in ties.items():
            self._shared.setdefault(owner, []).append(name)
        self._owners = ties

    def run(self, steps: Sequence[Step]) -> None:
        """Steps that only look at mapped pages run here; those that copy are shared out to threads."""
        copying: list[Step] = []
        for step in steps:
            if self._copies(step):
                copying.append(step)
            else:
                self.bytes_mapped += self.fill(step)
        if copying:
            with ThreadPoolExecutor(_READERS) as pool:
                self.bytes_mapped += sum(pool.map(self.fill, copying))

    def compare(self, step: Step, skip: Callable[[str], bool], where: str) -> dict[str, str]:
        """Why a second copy of a tied weight can be left out; raises TiedWeightsError if it differs."""
        ((name, tensor),) = step.load([self._source.read(n) for n in step.inputs]).items()
        owner = self.owner(name)
        kept = self._slots[owner].tensor
        given_up = kept.is_meta or all(map(skip, step.inputs))
        if not given_up and not torch.equal(self._placed(owner, tensor, step), kept):
            raise TiedWeightsError(name, owner, where=where)
        return dict.fromkeys(step.inputs, LEFT_OUT if given_up else f"the same weight as {owner}")

    def check_finite(self, where: str) -> None:
        """Raises NonFiniteWeightsError if a loaded weight holds NaN or infinity."""
        counts = {
            name: int(slot.tensor.numel() - torch.isfinite(slot.tensor).sum())
            for name, slot in self._slots.items()
            if slot.tensor.is_floating_point() and not slot.tensor.is_meta
        }
        if bad := {name: count for name, count in counts.items() if count}:
            raise NonFiniteWeightsError(bad, where=where)

    def bytes_by_dtype(self) -> dict[torch.dtype, int]:
        """Bytes of weights per element type, shared ones once."""
        totals: dict[torch.dtype, int] = {}
        for name, slot in self._slots.items():
            tensor = slot.tensor
            if name not in self._owners and not tensor.is_meta:
                totals[tensor.dtype] = totals.get(tensor.dtype, 0) + tensor.nbytes
        return totals

    def owner(self, name: str) -> str:
        """The name that holds the weight which `name` shares, or `name` itself."""
        return self._owners.get(name, name)

    def slots_under(self, path: str) -> dict[str, Slot]:
        """The slots of a module and everything in it."""
        inside = f"{path}." if path else ""
        return {n: s for n, s in self._slots.items() if s.path == path or s.path.startswith(inside)}

    def empty(self, steps: Sequence[Step], outlines: Mapping[str, Tensor]) -> None:
        """Undo `fill`: put the outlines back and let the system have the files' pages."""
        for name, outline in outlines.items():
            self._slots[name].put(outline)
        for step in steps:
            self._source.release(step.inputs)

    def fill(self, step: Step) -> int:
        """Run one step; returns how many bytes of its results are still the file's own pages."""
        inputs = [self._source.read(name) for name in step.inputs]
        mapped = 0
        for name, tensor in step.load(inputs).items():
            owner = self.owner(name)
            placed = self._placed(owner, tensor, step)
            mapped += placed.nbytes if self._source.is_mapped(placed) else 0
            self._slots[owner].put(placed)
            for alias in self._shared.get(owner, ()):
                self._slots[alias].put(self._slots[owner].tensor)
        if not mapped:
            self._source.release(step.inputs)
        return mapped

    def _placed(self, name: str, tensor: Tensor, step: Step) -> Tensor:
        device = self._devices.place(self._slots[name].path)
        if step.rule.as_stored:
            return tensor.to(device=device)
        return tensor.to(device=device, dtype=self._dtype(name, tensor.dtype))

    def _dtype(self, name: str, found: torch.dtype) -> torch.dtype:
        """The element type for a slot: the model's own choice for packed and integer ones, else as asked."""
        needed = self._slots[name].tensor.dtype
        if needed not in COMPUTE_DTYPES:
            return needed
        if found not in COMPUTE_DTYPES:
            raise UnsupportedDTypeError(
                f"{name} is stored as {str(found).removeprefix('torch.')}, which is a packing, not numbers",
                fix="load it with the quantization_config that belongs to it in config.json",
            )
        kept = self._fp32 is not None and self._fp32.match(name)
        return torch.float32 if kept else self._base_dtype

    def _copies(self, step: Step) -> bool:
        if not isinstance(step.rule.op, Same | Transpose) or self._devices.runs_on.type != "cpu":
            return True
        return not step.rule.as_stored and any(
            self._source.dtypes[name] != self._base_dtype for name in step.inputs
        )
