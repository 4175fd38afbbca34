"""Going on from a checkpoint, on the layout that wrote it or any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.optim import Optimizer

from hf_hub_io.jsonio import JsonValue
from hf_modeling.model import PreTrainedModel
from hf_parallel.agreement import agree
from hf_parallel.checkpoint.boxes import Piece
from hf_parallel.checkpoint.manifest import Manifest, verified
from hf_parallel.checkpoint.pieces import OPTIMIZER, state_piece, weight_pieces
from hf_parallel.checkpoint.read import compare, read_contents, read_pieces
from hf_parallel.errors import CheckpointMismatchError
from hf_parallel.parallel import Parallel


def load_checkpoint(
    parallel: Parallel[PreTrainedModel], folder: str | Path, optimizer: Optimizer | None = None
) -> Mapping[str, JsonValue]:
    """Fill the model, and `optimizer`, from what `save_checkpoint` wrote; all ranks call it.

    The layout may be another one: each rank reads the boxes that overlap what it holds. Nothing is changed
    before every file was compared with its hash and every tensor's shape with the model's.

    Returns the `state` that was saved.

    Raises:
        CheckpointDamagedError: a file is missing or changed; the same on all ranks.
        CheckpointMismatchError: the checkpoint is of another model, or has no state for this optimizer.
        RanksDisagreeError: ranks were given different checkpoints.
    """
    folder = Path(folder)
    manifest = verified(folder)
    agree("checkpoint", repr(manifest.to_json()))
    contents = read_contents(folder)
    weights = weight_pieces(parallel)
    compare(folder, contents, weights)
    state = None if optimizer is None else _state(parallel, optimizer, folder, manifest, contents)
    read_pieces(folder, contents, weights)
    if optimizer is not None and state is not None:
        read_pieces(folder, contents, state.pieces)
        optimizer.load_state_dict({"state": state.tensors, "param_groups": state.groups})
    return manifest.state


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    pieces: list[Piece]
    tensors: dict[int, dict[str, Tensor]]
    groups: list[dict[str, object]]


def _state(
    parallel: Parallel[PreTrainedModel],
    optimizer: Optimizer,
    folder: Path,
    manifest: Manifest,
    contents: Metadata,
) -> _State:
    """Memory for an optimizer's state, and its settings as they were."""
    saved = {name: settings for settings, names in manifest.groups for name in names}
    if not saved:
        raise CheckpointMismatchError(f"{folder} has no optimizer state", fix="load it without an optimizer")
    names = {parameter: name for name, parameter in parallel.named_parameters()}
    groups: list[dict[str, object]] = optimizer.state_dict()["param_groups"]
    pieces: list[Piece] = []
    tensors: dict[int, dict[str, Tensor]] = {}
    for group, inside in zip(groups, optimizer.param_groups, strict=True):
        numbers, parameters = group["params"], inside["params"]
        assert isinstance(numbers, list), "state_dict numbers a group's parameters"
        for number, parameter in zip(numbers, parameters, strict=True):
            own = names[parameter]
            for kind, tensor in _memory(parallel, own, parameter, manifest.kinds, contents):
                tensors.setdefault(number, {})[kind] = tensor
                pieces.append(state_piece(parallel, own, kind, tensor, parameter))
        if parameters:
            first = names[parameters[0]]
            group.update(_settings(saved, parallel.plan.ties.get(first, first), folder, inside))
    compare(folder, contents, pieces)
    return _State(pieces=pieces, tensors=tensors, groups=groups)


def _memory(
    parallel: Parallel[PreTrainedModel],
    name: str,
    parameter: nn.Parameter,
    kinds: tuple[str, ...],
    contents: Metadata,
) -> Iterator[tuple[str, Tensor]]:
    """A tensor for each kind of state that was saved for a parameter."""
    for kind in kinds:
        stored = contents.state_dict_metadata.get(f"{OPTIMIZER}{kind}.{parallel.plan.ties.get(name, name)}")
        if not isinstance(stored, TensorStorageMetadata):
            continue
        dtype = stored.properties.dtype
        if parameter.ndim > 0 and len(stored.size) == 0:
            yield kind, torch.zeros((), dtype=dtype)
        else:
            yield kind, torch.zeros_like(parameter.detach(), dtype=dtype)


def _settings(
    saved: Mapping[str, Mapping[str, JsonValue]], name: str, folder: Path, inside: Mapping[str, object]
) -> dict[str, object]:
    if name not in saved:
        raise CheckpointMismatchError(
            f"the optimizer of {folder} did not train {name}", fix="give the optimizer what was trained"
        )
    return {
        key: tuple(value) if isinstance(value, list) and isinstance(inside.get(key), tuple) else value
        for key, value in saved[name].items()
    }
