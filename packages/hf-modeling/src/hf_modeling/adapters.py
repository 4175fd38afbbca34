"""LoRA adapters merged into a model: W + scale * B A, in whatever layout the model keeps W.

An adapter names the checkpoint's modules, so its products are tensors of the checkpoint's layout; the
family's weight table, whose ops only move elements about, brings them to where the weights are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hf_hub_io.adapter import AdapterCheckpoint, discover_adapter
from hf_hub_io.errors import AdapterError
from hf_hub_io.repo import Repo
from hf_modeling.weights.plan import plan_load
from hf_modeling.weights.slots import find_slots
from hf_modeling.weights.source import Source, open_source
from hf_modeling.weights.table import MEMORY_PREFIX

if TYPE_CHECKING:
    from hf_modeling.model import PreTrainedModel

_PREFIX = "base_model.model."
_PAIRS = {"lora_A.weight": "lora_B.weight", "lora_embedding_A": "lora_embedding_B"}
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class AdapterReport:
    """What an adapter changed: weights that got a product added, and weights that it replaced."""

    merged: tuple[str, ...]
    replaced: tuple[str, ...]


@torch.no_grad()
def merge_adapter(
    model: PreTrainedModel,
    adapter: AdapterCheckpoint | str | Path,
    *,
    scale: float = 1.0,
    revision: str | None = None,
    token: str | bool | None = None,
    subfolder: str = "",
    local_files_only: bool = False,
    allow_pickle: bool = False,
) -> AdapterReport:
    """Add a LoRA adapter's products, times `scale`, to the model's weights; the adapter is then part of them.

    Sums are made in float32 and rounded once. Modules that the adapter saved whole (`modules_to_save`,
    biases) replace the model's. Nothing is changed unless everything in the adapter has a place.
    Raises AdapterError, RepoError and WeightsError.
    """
    if not isinstance(adapter, AdapterCheckpoint):
        repo = Repo.open(
            adapter, revision=revision, token=token, subfolder=subfolder, local_files_only=local_files_only
        )
        adapter = discover_adapter(repo, allow_pickle=allow_pickle)
    file = adapter.weights.files[0].path
    settings = _settings(adapter, file)
    source = open_source(adapter.weights)
    products, whole = _products(source, settings, file)
    added = _in_memory(model, products, file)
    replaced = _in_memory(model, whole, file)
    slots, _ = find_slots(model, _prefix(model))
    for name, value in replaced.items():
        slots[name].tensor.copy_(value)
    for name, product in added.items():
        weight = slots[name].tensor
        weight.copy_(weight.float() + scale * product.to(weight.device))
    prefix = _prefix(model)
    return AdapterReport(
        merged=tuple(name.removeprefix(prefix) for name in added),
        replaced=tuple(name.removeprefix(prefix) for name in replaced),
    )


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What adapter_config.json says about how products are made."""

    rank: int
    alpha: float
    ranks: Mapping[str, float]
    alphas: Mapping[str, float]
    root: bool
    transposed: bool

    def scale(self, module: str) -> float:
        """alpha / rank, or alpha / sqrt(rank), with the module's own numbers where it has some."""
        rank = _of_module(self.ranks, module, self.rank)
        alpha = _of_module(self.alphas, module, self.alpha)
        return alpha / (sqrt(rank) if self.root else rank)


def _of_module(patterns: Mapping[str, float], module: str, default: float) -> float:
    """The entry whose dotted name ends the module's."""
    return next((v for name, v in patterns.items() if f".{module}".endswith(f".{name.lstrip('^')}")), default)


def _settings(adapter: AdapterCheckpoint, file: Path) -> _Settings:
    config = adapter.config
    if adapter.kind != "LORA":
        raise AdapterError(
            f"{file} is a {adapter.kind} adapter; only LORA adapters can be merged into weights",
            fix="load it with peft: PeftModel.from_pretrained(model, path)",
            file=file,
        )
    for option in (
        "use_dora",
        "use_qalora",
        "lora_bias",
        "trainable_token_indices",
        "alora_invocation_tokens",
    ):
        if config.get(option):
            raise AdapterError(
                f"{file}: adapter_config.json sets {option}, which is more than a product of two matrices",
                fix="merge it with peft and save the merged model",
                file=file,
            )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise AdapterError(
            f"{file}: adapter_config.json has r = {rank!r} and lora_alpha = {alpha!r}",
            fix="both must be positive numbers; save the adapter again",
            file=file,
        )
    return _Settings(
        rank=rank,
        alpha=alpha,
        ranks=_numbers(ranks, file),
        alphas=_numbers(alphas, file),
        root=bool(config.get("use_rslora")),
        transposed=bool(config.get("fan_in_fan_out")),
    )


def _numbers(value: object, file: Path) -> dict[str, float]:
    if isinstance(value, dict) and all(isinstance(v, int | float) for v in value.values()):
        return {str(name): float(number) for name, number in value.items()}
    raise AdapterError(
        f"{file}: adapter_config.json has a pattern {value!r} that is not numbers by module",
        fix="save the adapter again",
        file=file,
    )


def _products(source: Source, settings: _Settings, file: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The product to add to each weight, and the tensors that replace one, by names on disk."""
    products: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    left = dict.fromkeys(source.shapes)
    for name in source.shapes:
        for first, second in _PAIRS.items():
            if name.endswith(f".{first}"):
                partner = name.removesuffix(first) + second
                if partner not in left:
                    raise _unmatched([name], file, f"has no partner {second}")
                module = name.removesuffix(f".{first}").removeprefix(_PREFIX)
                a, b = source.read(name).float(), source.read(partner).float()
                product = settings.scale(module) * (b @ a)
                transposed = settings.transposed or first == "lora_embedding_A"
                products[f"{module}.weight"] = product.mT if transposed else product
                del left[name], left[partner]
    for name in left:
        if "lora_" in name or not name.startswith(_PREFIX):
            raise _unmatched([name], file, "is not part of a pair of matrices")
        # peft keeps the original of a module it wraps under this name, and may save it along.
        whole[name.removeprefix(_PREFIX).replace(".base_layer.", ".")] = source.read(name)
    return products, whole


def _in_memory(model: PreTrainedModel, tensors: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The tensors under their names in memory, in its layout. Raises AdapterError if one has no place."""
    slots, ties = find_slots(model, _prefix(model))
    table = model.weight_table()
    plan = plan_load(
        table,
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tuple(slot.tensor.shape) for name, slot in slots.items()},
        ties=ties,
        skip=lambda name: False,
        where=str(file),
    )
    if plan.unexpected or plan.dropped:
        raise _unmatched([*plan.unexpected, *plan.dropped], file, "has no place in the model")
    if plan.mismatched:
        first = plan.mismatched[0]
        raise AdapterError(
            f"{file} was made for another model: {first.name} is {list(first.found)} in it and "
            f"{list(first.needed)} in the model",
            fix="use the adapter's base model",
            file=file,
        )
    made: dict[str, Tensor] = {}
    for step in plan.steps:
        made.update(step.load([tensors[name] for name in step.inputs]))
    return made


def _prefix(model: PreTrainedModel) -> str:
    return MEMORY_PREFIX if model.is_base else ""


def _unmatched(names: list[str], file: Path, why: str) -> AdapterError:
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return AdapterError(
        f"{file}: {shown} {why}",
        fix="use the model class and base model that the adapter was trained on",
        file=file,
    )
