"""Writing a model as its family's checkpoint: the weight table read from right to left."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hf_hub_io.write import PT_METADATA, TensorBytes, write_shards
from hf_modeling.device_map import DeviceMapError
from hf_modeling.weights.plan import Step, plan_save
from hf_modeling.weights.slots import find_slots
from hf_modeling.weights.source import STORED_DTYPES
from hf_modeling.weights.table import MEMORY_PREFIX, WeightTable

if TYPE_CHECKING:
    from hf_hub_io.shards import ShardPlan


def disk_tensors(model: nn.Module, table: WeightTable, *, is_base: bool) -> dict[str, TensorBytes]:
    """Every tensor of the family's checkpoint by its name on disk, made only when it is written.

    A tied weight appears once, under its first name. Raises DeviceMapError for weights that are left on disk.
    """
    slots, ties = find_slots(model, MEMORY_PREFIX if is_base else "")
    if absent := [name for name, slot in slots.items() if slot.tensor.is_meta]:
        raise DeviceMapError(
            f"{len(absent)} weights are on disk only, such as {absent[0]}",
            fix="load the model without a device_map to save it",
        )
    memory = {name: slot.tensor.detach() for name, slot in slots.items() if name not in ties}
    stored: dict[str, TensorBytes] = {}
    for step in plan_save(table, {name: tuple(tensor.shape) for name, tensor in memory.items()}):
        inputs = [memory[name] for name in step.inputs]
        outlines = step.save([torch.empty_like(tensor, device="meta") for tensor in inputs])
        # Many results are slices of one stack; a single one may be a copy, which is better made late.
        ready = step.save(inputs) if len(outlines) > 1 else None
        for name, outline in outlines.items():
            on_disk = name.removeprefix(table.prefix) if is_base else name
            stored[on_disk] = TensorBytes(
                dtype=STORED_DTYPES[outline.dtype],
                shape=tuple(outline.shape),
                data=_reader(step, inputs, name, ready),
            )
    return stored


def write_weights(
    model: nn.Module,
    table: WeightTable,
    directory: Path,
    *,
    is_base: bool,
    max_shard_size: str | int,
    weights_name: str,
    metadata: Mapping[str, str],
) -> ShardPlan:
    """Write the checkpoint's safetensors files into `directory`, one tensor in memory at a time."""
    stored = disk_tensors(model, table, is_base=is_base)
    return write_shards(
        directory,
        stored,
        max_shard_size=max_shard_size,
        metadata={**PT_METADATA, **metadata},
        weights_name=weights_name,
    )


def _reader(
    step: Step, inputs: list[Tensor], name: str, ready: Mapping[str, Tensor] | None
) -> Callable[[], ctypes.Array[ctypes.c_char]]:
    def read() -> ctypes.Array[ctypes.c_char]:
        tensor = (ready or step.save(inputs))[name]
        return buffer_of(tensor.cpu().contiguous())

    return read


def buffer_of(tensor: Tensor) -> ctypes.Array[ctypes.c_char]:
    """The bytes of a contiguous tensor on the CPU, without copying; the buffer keeps the tensor alive."""
    buffer = (ctypes.c_char * tensor.nbytes).from_address(tensor.data_ptr())
    buffer._tensor = tensor  # type: ignore[attr-defined] # ctypes arrays take attributes; this is the owner
    return buffer
