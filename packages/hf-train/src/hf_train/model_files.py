"""A model's files in a checkpoint: whatever the kind of model, what `from_pretrained` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from hf_modeling.model import PreTrainedModel
from hf_train.errors import ResumeError
from hf_train.lora import ADAPTER_WEIGHTS, adapters_of, load_lora, save_lora

PLAIN_WEIGHTS: Final = "model.safetensors"


def save_files(model: nn.Module, folder: Path) -> None:
    """Write the model's config and weights; of a model with adapters these, of a plain module the weights alone."""
    if isinstance(model, PreTrainedModel) and adapters_of(model):
        save_lora(model, folder)
        return
    save = getattr(model, "save_pretrained", None)
    if save is not None:
        save(folder)
        return
    from safetensors.torch import save_model

    save_model(model, str(folder / PLAIN_WEIGHTS))


def load_files(model: nn.Module, folder: Path) -> None:
    """Give the model the weights that `save_files` wrote, here or in the peer.

    Raises ResumeError if they are of another model, and what reading them raises.
    """
    if isinstance(model, PreTrainedModel) and adapters_of(model):
        load_lora(model, folder)
        return
    if _is_adapted(model):
        _load_adapter(model, folder)
        return
    load = getattr(type(model), "from_pretrained", None)
    if load is None:
        _load_plain(model, folder / PLAIN_WEIGHTS)
        return
    saved: nn.Module = load(folder, dtype="auto" if isinstance(model, PreTrainedModel) else None)
    _copy(saved, model, folder)


def _is_adapted(model: nn.Module) -> bool:
    return getattr(model, "peft_config", None) is not None


@torch.no_grad()
def _copy(source: nn.Module, target: nn.Module, folder: Path) -> None:
    weights = dict(source.named_parameters()) | dict(source.named_buffers())
    for name, weight in (*target.named_parameters(), *target.named_buffers()):
        saved = weights.get(name)
        if saved is None or saved.shape != weight.shape:
            found = "missing" if saved is None else f"of shape {tuple(saved.shape)}"
            raise ResumeError(
                f"{folder}: {name} is {found}, and the model has it with {tuple(weight.shape)}",
                fix="resume with the model that was trained",
            )
        if isinstance(weight, DTensor):
            saved = distribute_tensor(saved.to(weight.device), weight.device_mesh, weight.placements)
        weight.copy_(saved)


def _load_plain(model: nn.Module, file: Path) -> None:
    from safetensors.torch import load_model

    try:
        load_model(model, str(file))
    except (RuntimeError, FileNotFoundError) as error:
        raise ResumeError(f"{file}: {error}", fix="resume with the model that was trained") from error


def _load_adapter(model: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    for name in model.peft_config:
        # peft keeps the adapter called "default" in the folder itself, each other one in a folder of its name.
        file = (folder if name == "default" else folder / name) / ADAPTER_WEIGHTS
        if not file.is_file():
            raise ResumeError(f"{folder} has no weights of the adapter {name!r}", fix="resume with its model")
        result = set_peft_model_state_dict(model, load_file(file), adapter_name=name)
        if result.unexpected_keys:
            raise ResumeError(
                f"{file} is of another adapter: {result.unexpected_keys[0]} is not in the model",
                fix="resume with the configuration of the adapter that was trained",
            )
