"""Adapter checkpoints (LoRA and its relatives): small weights that name the model they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hf_hub_io.checkpoint import Checkpoint
from hf_hub_io.discover import discover
from hf_hub_io.errors import AdapterError
from hf_hub_io.jsonio import JsonValue
from hf_hub_io.repo import Repo

ADAPTER_CONFIG_NAME = "adapter_config.json"
_WEIGHT_NAMES = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterCheckpoint:
    """An adapter's weights and configuration; `base_model` is what it was trained on, if it says so."""

    kind: str
    base_model: str | None
    config: Mapping[str, JsonValue]
    weights: Checkpoint


def has_adapter(repo: Repo) -> bool:
    """Whether the repository holds an adapter; nothing large is fetched."""
    return repo.has(ADAPTER_CONFIG_NAME)


def discover_adapter(repo: Repo, *, allow_pickle: bool = False) -> AdapterCheckpoint:
    """The adapter in `repo`. Raises AdapterError, FileMissingError, and as `discover`."""
    config = repo.read_json(ADAPTER_CONFIG_NAME)
    path = repo.file(ADAPTER_CONFIG_NAME)
    kind, base = config.get("peft_type"), config.get("base_model_name_or_path")
    if not isinstance(kind, str):
        raise AdapterError(
            f"{path} has the peft_type {kind!r}, which is not the name of a method such as LORA",
            fix="save the adapter again, or fetch its configuration again",
            file=path,
        )
    if base is not None and not isinstance(base, str):
        raise AdapterError(
            f"{path} has the base_model_name_or_path {base!r}, which is not a model's name",
            fix="name the base model, or remove the entry",
            file=path,
        )
    name = next((name for name in _WEIGHT_NAMES if repo.has(name)), _WEIGHT_NAMES[0])
    weights = discover(repo, weights_name=name, allow_pickle=allow_pickle)
    return AdapterCheckpoint(kind=kind, base_model=base or None, config=config, weights=weights)
