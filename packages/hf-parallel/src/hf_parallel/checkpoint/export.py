"""From a training checkpoint to a standard one, in one process, without a GPU and without the model in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from hf_config import AutoConfig, GenerationConfig
from hf_config.generation import GENERATION_CONFIG_NAME
from hf_hub_io.jsonio import read_json_object
from hf_hub_io.shards import ShardPlan
from hf_modeling.classes import find_class
from hf_parallel.checkpoint.boxes import Piece
from hf_parallel.checkpoint.manifest import verified
from hf_parallel.checkpoint.pieces import MODEL
from hf_parallel.checkpoint.read import compare, read_contents, read_pieces
from hf_parallel.errors import CheckpointMismatchError
from hf_parallel.placements import Holding
from hf_parallel.plan import Plan, make_plan
from hf_parallel.regions import whole
from hf_parallel.save import KEPT, Recent, write_model
from hf_parallel.spec import ParallelSpec


def export_checkpoint(
    folder: str | Path, target: str | Path, *, max_shard_size: str | int = "5GB"
) -> ShardPlan:
    """Write the weights of a checkpoint of `save_checkpoint` as safetensors with their config, in one step.

    The result is what `save_pretrained` of the whole model writes: any program that reads such folders can.
    A few tensors are in memory at a time. Returns which file holds which tensor.

    Raises:
        CheckpointDamagedError: a file of the checkpoint is missing or changed.
        CheckpointMismatchError: its config names no class, or describes another model.
    """
    folder = Path(folder)
    verified(folder)
    contents = read_contents(folder)
    config = AutoConfig.from_pretrained(folder)
    if not config.architectures:
        raise CheckpointMismatchError(
            f"{folder / 'config.json'} does not say of which class the model is",
            fix="add architectures to it",
        )
    kind = find_class(config.architectures[0])
    plan = make_plan(kind, config, ParallelSpec())
    names = [name for name in plan.shapes if name not in plan.ties]
    compare(
        folder,
        contents,
        [_piece(plan, name, torch.empty(plan.shapes[name], device="meta")) for name in names],
    )
    dtypes = {name: _dtype(contents, name) for name in names}

    def read(name: str) -> Tensor:
        made = torch.empty(plan.shapes[name], dtype=dtypes[name])
        read_pieces(folder, contents, [_piece(plan, name, made)])
        return made

    generation = folder / GENERATION_CONFIG_NAME
    return write_model(
        kind,
        config,
        plan,
        dtypes,
        Recent(read, KEPT).get,
        Path(target),
        max_shard_size,
        GenerationConfig.from_dict(read_json_object(generation)) if generation.is_file() else None,
    )


def _piece(plan: Plan, name: str, memory: Tensor) -> Piece:
    every = whole(plan.shapes[name])
    return Piece(
        name=MODEL + name, shape=plan.shapes[name], held=Holding(region=every, places=every), local=memory
    )


def _dtype(contents: Metadata, name: str) -> torch.dtype:
    stored = contents.state_dict_metadata[MODEL + name]
    assert isinstance(stored, TensorStorageMetadata), "it was compared"
    return stored.properties.dtype
