"""One standard checkpoint from any layout, with no more in memory than a few whole tensors at a time.

Rank 0 writes. Before each tensor it needs, it says its name, and the ranks that hold parts of it send them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from ctypes import Array, c_char
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from hf_config import GenerationConfig, PreTrainedConfig
from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.errors import HfError
from hf_hub_io.shards import ShardPlan
from hf_hub_io.write import TensorBytes, write_shards
from hf_modeling.model import PreTrainedModel
from hf_modeling.weights.plan import Step, plan_save
from hf_modeling.weights.save import buffer_of
from hf_modeling.weights.source import STORED_DTYPES
from hf_modeling.weights.table import MEMORY_PREFIX
from hf_parallel.gradients import local
from hf_parallel.parallel import Parallel
from hf_parallel.placements import Holding
from hf_parallel.plan import Plan, outline
from hf_parallel.regions import numel, put, shape_of

KEPT = 4
"""Whole tensors that rank 0 keeps: several tensors on disk, such as one expert's, come from the same few."""


class SaveFailedError(HfError, OSError):
    """Rank 0 could not write the checkpoint; all ranks raise it."""


def save_parallel(
    parallel: Parallel[PreTrainedModel], directory: str | Path, *, max_shard_size: str | int = "5GB"
) -> ShardPlan:
    """Write the whole model as one checkpoint, as `save_pretrained` of a whole model would; all ranks call it.

    The folder changes in one step. Returns which file holds which tensor.

    Raises:
        SaveFailedError: rank 0 could not write; the folder is then as it was.
    """
    own = own_tensors(parallel)
    desk = _Desk(own={name: local(tensor.detach()) for name, tensor in own.items()}, parallel=parallel)
    desk.open()
    if dist.get_rank() > 0:
        return desk.serve()
    try:
        written = write_model(
            parallel.kind,
            parallel.model.config,
            parallel.plan,
            desk.dtypes,
            Recent(desk.whole, KEPT).get,
            Path(directory),
            max_shard_size,
            parallel.model.generation_config,
        )
    except BaseException as error:
        desk.close(f"{type(error).__name__}: {error}")
        raise
    desk.close("", written)
    return written


def own_tensors(parallel: Parallel[PreTrainedModel]) -> dict[str, Tensor]:
    """This rank's parameters and saved buffers, by name; shared ones once."""
    return {
        name: tensor
        for part in parallel.parts
        for name, tensor in (*part.named_parameters(), *part.named_buffers())
        if name in parallel.held
    }


def described(kind: type[PreTrainedModel], config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedConfig:
    """The config as a checkpoint carries it: with the model's class and the element type of its weights."""
    return config.replace(architectures=(kind.__name__,), dtype=str(dtype).removeprefix("torch."))


def write_model(
    kind: type[PreTrainedModel],
    config: PreTrainedConfig,
    plan: Plan,
    dtypes: Mapping[str, torch.dtype],
    whole: Callable[[str], Tensor],
    directory: Path,
    max_shard_size: str | int,
    generation: GenerationConfig | None,
) -> ShardPlan:
    """Write a model whose tensors `whole` makes one at a time, by their names in memory."""
    model = outline(kind, config, plan.whole)
    prefix = MEMORY_PREFIX if model.is_base else ""
    table = model.weight_table()
    shapes = {prefix + name: shape for name, shape in plan.shapes.items() if name not in plan.ties}
    stored: dict[str, TensorBytes] = {}
    for step in plan_save(table, shapes):
        names = [name.removeprefix(prefix) for name in step.inputs]
        outlines = step.save(
            [torch.empty(plan.shapes[name], dtype=dtypes[name], device="meta") for name in names]
        )
        for name, outlined in outlines.items():
            stored[name.removeprefix(table.prefix) if model.is_base else name] = TensorBytes(
                dtype=STORED_DTYPES[outlined.dtype],
                shape=tuple(outlined.shape),
                data=partial(_bytes, whole, step, names, name),
            )
    config = described(kind, config, next(iter(dtypes.values())))
    old = ("model.safetensors", "model.safetensors.index.json", "model-[0-9]*-of-[0-9]*.safetensors")
    with AtomicDirectory(directory, replaces=old) as stage:
        config.save_pretrained(stage)
        if generation is not None:
            generation.save_pretrained(stage)
        return write_shards(stage, stored, max_shard_size=max_shard_size)


def _bytes(whole: Callable[[str], Tensor], step: Step, names: list[str], wanted: str) -> Array[c_char]:
    return buffer_of(step.save([whole(name) for name in names])[wanted].contiguous())


@final
class Recent:
    """Tensors made by name, of which the last few are kept."""

    def __init__(self, make: Callable[[str], Tensor], kept: int) -> None:
        self._make, self._size = make, kept
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, name: str) -> Tensor:
        """The tensor."""
        if name in self._kept:
            self._kept.move_to_end(name)
        else:
            self._kept[name] = self._make(name)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return self._kept[name]


@final
@dataclass(kw_only=True)
class _Desk:
    """Where rank 0 asks for whole tensors and the others hand in their parts."""

    own: Mapping[str, Tensor]
    parallel: Parallel[PreTrainedModel]
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)
    _owners: dict[str, list[tuple[int, Holding]]] = field(default_factory=dict)

    def open(self) -> None:
        """Let rank 0 know who holds what: each part once, from the first rank that has it."""
        mine = {name: (self.parallel.held[name], tensor.dtype) for name, tensor in self.own.items()}
        all_mine: list[dict[str, tuple[Holding, torch.dtype]]] = [{}] * dist.get_world_size()
        dist.all_gather_object(all_mine, mine)
        for rank, parts in enumerate(all_mine):
            for name, (held, dtype) in parts.items():
                self.dtypes[name] = dtype
                owners = self._owners.setdefault(name, [])
                if numel(held.region) and all(held.region != other.region for _, other in owners):
                    owners.append((rank, held))

    def whole(self, name: str) -> Tensor:
        """The whole tensor, on the CPU. Called on rank 0 only."""
        self._say(name)
        made = torch.empty(self.parallel.plan.shapes[name], dtype=self.dtypes[name])
        for rank, held in self._owners[name]:
            if rank == 0:
                part = self._part(name)
            else:
                part = torch.empty(
                    shape_of(held.region), dtype=self.dtypes[name], device=self.parallel.dims.device
                )
                dist.recv(part, rank)
            put(made, held.region, part.cpu())
        return made

    def serve(self) -> ShardPlan:
        """Send this rank's parts until rank 0 is done. Raises SaveFailedError if it fails."""
        me = dist.get_rank()
        while True:
            heard: list[object] = [None, None, None]
            dist.broadcast_object_list(heard, src=0)
            name, failure, written = heard
            if failure:
                raise SaveFailedError(
                    f"rank 0 could not write the checkpoint: {failure}", fix="see its message"
                )
            if isinstance(written, ShardPlan):
                return written
            assert isinstance(name, str), "rank 0 names a tensor until it is done"
            if any(rank == me for rank, _ in self._owners[name]):
                dist.send(self._part(name), 0)

    def close(self, failure: str, written: ShardPlan | None = None) -> None:
        """Rank 0 is done."""
        # As a plain dictionary: a view of one cannot be sent.
        self._say(None, failure, written and replace(written, files=dict(written.files)))

    def _say(self, name: str | None, failure: str = "", written: ShardPlan | None = None) -> None:
        dist.broadcast_object_list([name, failure, written], src=0)

    def _part(self, name: str) -> Tensor:
        """This rank's rows of the whole, without padding."""
        tensor = self.own[name]
        for dim, places in enumerate(self.parallel.held[name].places):
            rows = [tensor.narrow(dim, low, high - low) for low, high in places]
            tensor = rows[0] if len(rows) == 1 else torch.cat(rows, dim)
        return tensor.contiguous().to(self.parallel.dims.device)
