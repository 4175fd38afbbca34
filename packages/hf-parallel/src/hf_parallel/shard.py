"""Data parallelism with sharded weights (FSDP2): each unit filled with this rank's rows, then sharded.

Every block is a unit, experts on ranks of their own are one, and the rest of the model is the last. A unit is
given memory and filled just before it is sharded, so a rank never holds more than its shards and one unit, and
of that unit it writes, and reads from the checkpoint, only the rows that it will keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import Shard

from hf_modeling.arguments import DTYPES
from hf_modeling.layers.moe import ExpertsLayer, MoeLayer
from hf_modeling.step import Step
from hf_modeling.weights.match import Patterns
from hf_modeling.weights.slots import Slot, find_slots
from hf_parallel.mesh import ParallelDims
from hf_parallel.options import ParallelOptions
from hf_parallel.pipeline import ZERO_BUBBLE
from hf_parallel.placements import Cut, Holding, holding
from hf_parallel.plan import Plan
from hf_parallel.regions import numel, put
from hf_parallel.weights import Weights
from hf_parallel.wrap import Forward, around


@final
@dataclass(frozen=True, kw_only=True)
class Filling:
    """The numbers a share starts from, their element type, and names that keep float32."""

    weights: Weights
    dtype: torch.dtype
    fp32: tuple[str, ...] = ()

    def dtype_of(self, name: str, found: torch.dtype) -> torch.dtype:
        """The element type for a parameter."""
        if not found.is_floating_point:
            return found
        return torch.float32 if self.fp32 and Patterns([self.fp32]).match(name) else self.dtype


@final
@dataclass(frozen=True, kw_only=True)
class _Unit:
    path: str
    module: nn.Module
    mesh: DeviceMesh
    ways: int
    rank: int


@final
@dataclass(kw_only=True)
class Sharder:
    """Fills and shards a rank's share. `held`: what each of its tensors holds, by name, once that is done."""

    plan: Plan
    dims: ParallelDims
    options: ParallelOptions
    filling: Filling
    wanted: bool = True
    held: dict[str, Holding] = field(default_factory=dict)

    @property
    def shards(self) -> bool:
        """Whether FSDP is needed at all."""
        layout = self.plan.layout
        if not self.wanted or (layout.pp > 1 and self.options.schedule in ZERO_BUBBLE):
            return False
        ways = layout.dp_replicate * layout.dp_shard * layout.cp
        return ways > 1 or self.options.param_dtype is not None or self.options.offload

    def run(self, model: nn.Module) -> None:
        """Give `model`, a share on meta, this rank's numbers, unit by unit, and shard each."""
        slots, ties = find_slots(model)
        left = dict(slots)
        for unit in self._units(model):
            inside = [name for name in left if not unit.path or name.startswith(f"{unit.path}.")]
            for name in inside:
                if name not in ties:
                    self._fill(name, left[name], unit)
            for name in inside:
                if name in ties:
                    left[name].put(slots[ties[name]].tensor)
                del left[name]
            if self.shards:
                self._shard(unit, root=unit.module is model)

    def _units(self, model: nn.Module) -> Iterator[_Unit]:
        """What is sharded as one, inner units first."""
        for path, module in list(model.named_modules()):
            parent, _, name = path.rpartition(".")
            if not (name.isdecimal() and parent.split(".")[-1] == "layers"):
                continue
            if self.plan.layout.ep > 1:
                yield from self._experts(path, module)
            yield self._dense(path, module)
        yield self._dense("", model)

    def _dense(self, path: str, module: nn.Module) -> _Unit:
        ways, rank = self.dims.size("fsdp"), self.dims.rank("fsdp")
        return _Unit(path=path, module=module, mesh=self.dims.shard_mesh, ways=ways, rank=rank)

    def _experts(self, path: str, block: nn.Module) -> Iterator[_Unit]:
        for inner, layer in block.named_modules():
            if isinstance(layer, MoeLayer):
                yield _Unit(
                    path=f"{path}.{inner}.experts",
                    module=layer.experts,
                    mesh=self.dims.expert_mesh,
                    ways=self.dims.size("efsdp"),
                    rank=self.dims.rank("efsdp"),
                )

    def _fill(self, name: str, slot: Slot, unit: _Unit) -> None:
        """Memory for a tensor of the share, and in it the rows that this rank will keep."""
        placement, shape = self.plan.placement(name), self.plan.shapes[name]
        rank = self.dims.rank("ep" if isinstance(placement, Cut) and placement.axis == "ep" else "tp")
        mine = holding(placement, shape, self.plan.ways(name), rank)
        assert mine is not None, f"{name} is held by the first rank only, and was taken out elsewhere"
        local = tuple(slot.tensor.shape)
        memory = torch.empty(
            local, dtype=self.filling.dtype_of(name, slot.tensor.dtype), device=self.dims.device
        )
        if numel(mine.region) != memory.numel():
            memory.zero_()
        kept, at = mine, 0
        if self.shards and slot.is_parameter and local:
            dim = shard_dim(unit.module, local, unit.ways)
            rows = -(-local[dim] // unit.ways)
            at = min(unit.rank * rows, local[dim])
            kept = mine.chunk(dim, at, min(at + rows, local[dim]))
            target = memory.narrow(dim, at, min(at + rows, local[dim]) - at)
        else:
            target = memory
        put(target, kept.places, self.filling.weights.read(self.plan.ties.get(name, name), kept.region))
        self.held[name] = kept
        slot.put(memory)

    def _shard(self, unit: _Unit, *, root: bool) -> None:
        options = self.options
        precision = MixedPrecisionPolicy(
            param_dtype=None if options.param_dtype is None else DTYPES[options.param_dtype],
            reduce_dtype=None if options.reduce_dtype is None else DTYPES[options.reduce_dtype],
            cast_forward_inputs=False,  # what comes in was made by weights of that type already
        )
        offload = (
            CPUOffloadPolicy(pin_memory=self.dims.device.type == "cuda")
            if options.offload
            else OffloadPolicy()
        )
        reshard = self.plan.layout.pp == 1 if options.reshard == "auto" else options.reshard
        if unit.path and not isinstance(unit.module, ExpertsLayer):
            around(unit.module, _reveal)
        # Numbers without an axis cannot be sharded; their gradients are added up with the step's other ones.
        scalars = {p for p in unit.module.parameters() if p.ndim == 0}
        fully_shard(
            unit.module,
            mesh=unit.mesh,
            reshard_after_forward=reshard and not root,
            shard_placement_fn=lambda p: Shard(shard_dim(unit.module, tuple(p.shape), unit.ways)),
            mp_policy=precision,
            offload_policy=offload,
            ignored_params=scalars or None,
        )
        assert isinstance(unit.module, FSDPModule), "fully_shard makes it one"
        if unit.path and not isinstance(unit.module, ExpertsLayer):
            unit.module.register_forward_pre_hook(_hide, prepend=True)  # before FSDP's own
        # Losses are divided by the tokens of the whole step, so gradients are sums, never means.
        unit.module.set_gradient_divide_factor(1.0)
        unit.module.set_force_sum_reduction_for_comms(True)


@final
class _Hidden:
    """A step that FSDP does not look into.

    It would find tensors with gradients there, such as keys that layers share, put others in their place, and
    give the block a copy of the step: what the block then writes into it, later blocks would not see.
    """

    __slots__ = ("step",)

    def __init__(self, step: Step) -> None:
        self.step = step


def _hide(module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(_Hidden(arg) if isinstance(arg, Step) else arg for arg in args)


def _reveal(inner: Forward) -> Forward:
    def forward(h_BTD: Tensor, hidden: _Hidden, *others: object) -> Tensor:
        return inner(h_BTD, hidden.step, *others)

    return forward


def shard_dim(module: nn.Module, shape: tuple[int, ...], ways: int) -> int:
    """The axis along which a parameter is sharded: the first, or experts' second where there are too few of them."""
    few = isinstance(module, ExpertsLayer) and shape[0] % ways and shape[1] % ways == 0
    return 1 if few else 0
